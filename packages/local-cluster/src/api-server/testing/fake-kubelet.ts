import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import { channels } from '../streams/spdy-exec.ts';

/** What the API server needs of a kubelet: logs, an `exec` that is a small shell of its own, and an upper-casing port. */
export class FakeKubelet {
  readonly port: number;
  readonly requests: string[] = [];
  private readonly server: Server;

  private constructor(server: Server, requests: string[]) {
    this.server = server;
    this.requests = requests;
    this.port = (server.address() as AddressInfo).port; // listening on TCP
  }

  static async start(token: string): Promise<FakeKubelet> {
    const requests: string[] = [];
    const server = createServer((request, response) => {
      requests.push(request.url ?? '');
      if (request.headers['x-weft-kubelet-token'] !== token) response.writeHead(403).end('no token');
      else if (request.url?.includes('/waiting') === true)
        response.writeHead(400).end('container "c" is waiting to start');
      else response.writeHead(200, { 'content-type': 'text/plain' }).end('line 1\nline 2\n');
    });
    const sockets = new WebSocketServer({ noServer: true });
    server.on('upgrade', (request, socket, head) => {
      requests.push(request.url ?? '');
      const url = new URL(request.url ?? '/', 'http://kubelet');
      sockets.handleUpgrade(request, socket, head, (client) => {
        if (url.pathname.startsWith('/portForward/')) upperCase(client);
        else exec(client, url.searchParams.getAll('command'));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new FakeKubelet(server, requests);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

function upperCase(client: WebSocket): void {
  client.on('message', (data: RawData) =>
    client.send(Buffer.from((data as Buffer).toString('utf8').toUpperCase())),
  ); // binaryType is nodebuffer
}

/** `echo WORDS`, `cat`, or `exit N`. */
function exec(client: WebSocket, [program, ...words]: readonly string[]): void {
  const send = (channel: number, data: Buffer | string) =>
    client.send(Buffer.concat([Buffer.of(channel), Buffer.from(data)]));
  const finish = (status: object) => {
    send(channels.error, JSON.stringify({ metadata: {}, ...status }));
    client.close(1000);
  };
  switch (program) {
    case 'echo':
      send(channels.stdout, `${words.join(' ')}\n`);
      send(channels.stderr, 'to stderr\n');
      finish({ status: 'Success' });
      return;
    case 'exit':
      finish({
        status: 'Failure',
        reason: 'NonZeroExitCode',
        message: `command terminated with non-zero exit code`,
        details: { causes: [{ reason: 'ExitCode', message: words[0] ?? '1' }] },
      });
      return;
    default:
      client.on('message', (data: RawData) => {
        const message = data as Buffer; // binaryType is nodebuffer
        if (message[0] === channels.stdin) send(channels.stdout, message.subarray(1));
        if (message[0] === channels.close) finish({ status: 'Success' });
      });
  }
}
