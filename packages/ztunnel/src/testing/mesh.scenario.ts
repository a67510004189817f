import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { bytesOf, eventually, ipv6Of, readAll, sleep } from './mesh-sandbox.ts';
import { codeOf, inWeb, ips, mesh, VIP, whileOpen, type Ending } from './two-nodes.ts';

export * from './lifecycle-steps.ts';
export * from './policy-steps.ts';
export { log, start, stop } from './two-nodes.ts';

/** Steps of ztunnel.kernel.test.ts; they run inside a Sandbox. */

/** What the server said to the client, and how the server's proxy logged it. */
export async function exchange(
  from: keyof typeof ips,
  to: keyof typeof ips,
): Promise<{ answer: string; inbound: string }> {
  const node = to === 'client' || to === 'neighbour' ? 'node-1' : 'node-2';
  const before = mesh.log(node).length;
  const answer = await mesh.talk(from, ips[to], 8080);
  const isLogged = (line: string): boolean =>
    line.includes('connection complete') && line.includes('direction="inbound"');
  const lines = (): string[] => mesh.log(node).slice(before).split('\n').filter(isLogged);
  if (to !== 'outsider') await eventually('the access log', () => Promise.resolve(lines().length > 0));
  return { answer, inbound: lines().at(-1) ?? '' };
}

/** Who answered fifty connections to the service, and the least that anyone did. */
export async function overVip(): Promise<{ answers: string[]; least: number }> {
  const counts = new Map<string, number>();
  for (let i = 0; i < 50; i++) {
    const answer = await mesh.talk('client', VIP, 80).catch(codeOf);
    counts.set(answer, (counts.get(answer) ?? 0) + 1);
  }
  return { answers: [...counts.keys()].sort(), least: Math.min(...counts.values()) };
}

/** The application goes away under an open connection, and before a new one. */
export async function serverShutdown(): Promise<{ open: Ending; fresh: string }> {
  const server = mesh.serve('second', 8081);
  const open = await whileOpen('client', 'second', () => server.stop(), 8081);
  return { open, fresh: await mesh.talk('client', ips.second, 8081).catch(codeOf) };
}

/** A pod of the node is known, then gone: which proxies have its certificate meanwhile. */
export async function prefetch(): Promise<{ before: string[]; during: string[]; after: string[] }> {
  const holders = async (): Promise<string[]> => {
    const names: string[] = [];
    for (const node of ['node-1', 'node-2']) {
      const { certificates } = await mesh.configDump(node);
      if (certificates.some(({ identity }) => identity.endsWith('/sa/passing'))) names.push(node);
    }
    return names;
  };
  const before = await holders();
  const passing = { node: 'node-2', addresses: [bytesOf('10.0.2.77')], tunnelProtocol: 1 };
  mesh.tell('passing', passing);
  await eventually('the prefetch', async () => (await holders()).length > 0);
  const during = await holders();
  mesh.controlPlane.removeWorkload('Kubernetes//Pod/default/passing');
  await eventually('the certificate to go', async () => (await holders()).length === 0);
  return { before, during, after: await holders() };
}

/** What server and client hear of each other by IPv6, in a tunnel and from a pod that is not captured. */
export async function byIpv6(): Promise<{
  tunnelled: string;
  plain: string;
  outwards: string;
}> {
  const both = (pod: keyof typeof ips): Uint8Array[] => [bytesOf(ips[pod]), bytesOf(ipv6Of(ips[pod]))];
  mesh.describe('server', { addresses: both('server'), services: inWeb });
  mesh.describe('client', { addresses: both('client') });
  await mesh.untilKnown(({ workloads }) =>
    workloads.some(({ name, workloadIps }) => name === 'client' && workloadIps.length === 2),
  );
  const server = ipv6Of(ips.server);
  const tunnelled = await mesh.talk('client', server, 8080);
  const plain = await mesh.talk('outsider', server, 8080);
  const outwards = await mesh.talk('client', ipv6Of(ips.outsider), 8080);
  const isLogged = (): boolean => mesh.log('node-2').includes(`dst.hbone_addr=[${server}]:8080`);
  await eventually('the access log', () => Promise.resolve(isLogged()));
  mesh.describe('server', { services: inWeb });
  mesh.describe('client');
  return { tunnelled, plain, outwards };
}

/** Goes to a destination by SOCKS, from the client's loopback. */
export async function bySocks(target: string, port: number): Promise<string> {
  const socket = mesh.dial('client', '127.0.0.1', 15_080);
  const name = Buffer.from(target);
  const request = Buffer.concat([Buffer.of(5, 1, 0, 3, name.length), name, Buffer.of(port >> 8, port & 255)]);
  // All at once, as a client may that knows the answers.
  socket.end(Buffer.concat([Buffer.of(5, 1, 0), request, Buffer.from('hello')]));
  const answer = await readAll(socket);
  const [version, method, , code] = answer;
  return `${version} ${method} ${code} ${answer.subarray(12).toString()}`;
}

/** Moves megabytes both ways at once, with half-close, and compares digests. */
export async function bulk(megabytes: number): Promise<boolean> {
  const data = randomBytes(megabytes * 1024 * 1024);
  const socket = mesh.dial('client', ips.server, 8080);
  const received = readAll(socket);
  socket.end(data);
  const answer = (await received).subarray(`server sees ${ips.client}\n`.length);
  const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  return digest(answer) === digest(data);
}

/** How many of so many connections at once get their answer. */
export async function parallel(count: number): Promise<number> {
  const answers = await Promise.all(
    Array.from({ length: count }, (_, i) => mesh.talk('client', ips.server, 8080, `n${i}`)),
  );
  return answers.filter((answer, i) => answer === `server sees ${ips.client}\nn${i}`).length;
}

/** Bytes that no client of ours would send, on each port of the proxy, until as many errors as expected were counted. */
export async function garbage(expected: number): Promise<string> {
  const before = await mesh.metric('node-2', 'weft_errors_total');
  for (const port of [15_008, 15_001, 15_006]) {
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), randomBytes(2_000), Buffer.alloc(0)]) {
      const socket = mesh.dial('outsider', ips.server, port);
      socket.end(bytes);
      const closed = new Promise((resolve) => socket.resume().once('close', resolve));
      // A client that says nothing has ten seconds for its handshake.
      await Promise.race([closed, sleep(300)]);
      socket.destroy();
    }
  }
  await eventually(
    `${expected} errors`,
    async () => (await mesh.metric('node-2', 'weft_errors_total')) - before >= expected,
  );
  return mesh.talk('client', ips.server, 8080);
}

/** Metrics of the other node's proxy, through its own HBONE listener. */
export async function scrape(): Promise<{ status: string; hbone: boolean }> {
  const socket = mesh.dial('server', '10.0.1.254', 15_020);
  socket.write('GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
  const answer = (await readAll(socket)).toString();
  await eventually('the access log', () =>
    Promise.resolve(mesh.log('node-2').includes('dst.hbone_addr=10.0.1.254:15020')),
  );
  return { status: answer.split('\r\n')[0] ?? '', hbone: answer.includes('istio_build{component="ztunnel"') };
}

/** Descriptors of the proxy before and after many connections, regular and failed. */
export async function descriptors(): Promise<{ before: number; after: number; open: number }> {
  await parallel(20);
  await sleep(300);
  const before = await mesh.metric('node-2', 'process_open_fds');
  await parallel(100);
  for (let i = 0; i < 20; i++) await mesh.talk('client', ips.server, 9).catch(codeOf);
  await sleep(500);
  const after = await mesh.metric('node-2', 'process_open_fds');
  return { before, after, open: await mesh.metric('node-2', 'istio_tcp_sockets_open') };
}

export async function observability(): Promise<{
  labels: string;
  certificates: string[];
  connection: string[];
  logging: string;
  index: number;
  heap: string;
}> {
  await mesh.talk('client', ips.server, 8080);
  const { body } = await mesh.get('node-1', 15_020, '/stats/prometheus');
  const labels =
    body
      .split('\n')
      .find((l) => l.startsWith('istio_tcp_connections_opened_total') && l.includes('mutual_tls')) ?? '';
  const socket = mesh.dial('client', ips.server, 8080);
  await once(socket, 'data');
  const dump = await mesh.configDump('node-1');
  const connection = (dump.workloadState['client']?.connections.outbound ?? []).map((c) => c.protocol);
  socket.destroy();
  const certificates = dump.certificates.map(({ identity, state }) => `${identity} ${state}`).sort();
  const logging = (await mesh.get('node-1', 15_000, '/logging')).status;
  return {
    labels,
    certificates,
    connection,
    logging: String(logging),
    index: (await mesh.get('node-1', 15_000, '/')).status,
    // Behind the length of the first chunk.
    heap: (await mesh.get('node-1', 15_000, '/debug/pprof/heap')).body.slice(0, 12),
  };
}
