import { Agent, createServer, request } from 'node:http';

/** The simplest proxy that Node can be: `node-http-proxy.js LISTEN UPSTREAM`. A peer, not a product. */
const [listen = '', upstream = ''] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 256 });

createServer((incoming, outgoing) => {
  const { method, url, headers } = incoming;
  const forwarded = request(
    { agent, host: '127.0.0.1', port: Number(upstream), method, path: url, headers },
    (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    },
  );
  forwarded.on('error', () => outgoing.destroy());
  incoming.pipe(forwarded);
}).listen(Number(listen), '127.0.0.1');
