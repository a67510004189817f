import { execFile, execFileSync } from 'node:child_process';
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createTcpListener,
  createTcpSocket,
  createUdpSocket,
  inNetworkNamespace,
  type NetworkNamespace,
} from '@weft/linux';
import type { SandboxValue } from '@weft/linux/testing';
import { decode, encode, type Packet } from 'dns-packet';
import { bytesOf, eventually, MeshSandbox } from './mesh-sandbox.ts';

/** Steps of dns.kernel.test.ts; they run inside a Sandbox. */

const RESOLVER_IP = '10.0.9.9';
/** Where pods send their queries; nobody is there, so only capture can make them work. */
const CLUSTER_DNS = '10.96.0.10';
const BIG_ANSWER = 200;

let mesh: MeshSandbox;
/** What the resolver outside was asked, and by whom. */
const asked: { name: string; from: string; transport: string; hex: string }[] = [];
const folder = mkdtempSync(join(tmpdir(), 'weft-dns-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

export async function start(): Promise<void> {
  mesh = await MeshSandbox.create();
  const resolvConf = join(folder, 'resolv.conf');
  const search =
    'search default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:3\n';
  writeFileSync(resolvConf, `nameserver ${RESOLVER_IP}\n${search}`);
  execFileSync('mount', ['--bind', resolvConf, '/etc/resolv.conf']);
  mesh.addNode('node-1', '10.0.1.254');
  mesh.addPod('client', 'node-1', '10.0.1.1');
  mesh.addPod('resolver', 'node-2', RESOLVER_IP);
  serveNames(namespaceOf('resolver'));
  mesh.controlPlane.setService({
    name: 'web',
    namespace: 'default',
    hostname: 'web.default.svc.cluster.local',
    addresses: [{ network: '', address: bytesOf('10.96.0.1') }],
    ports: [{ servicePort: 80, targetPort: 8080 }],
  });
  mesh.startZtunnel('node-1', { RUST_LOG: 'info,dns=debug' });
  await mesh.untilReady('node-1');
  inNetworkNamespace(namespaceOf('client'), captureDns);
  await mesh.capture('client');
}

export async function stop(): Promise<void> {
  await mesh.stop();
  execFileSync('umount', ['/etc/resolv.conf']);
}

/** The answer's header and records, by UDP or TCP, to the address that pods know. */
export async function ask(
  transport: string,
  packet: Packet,
  server = CLUSTER_DNS,
  port = 53,
): Promise<SandboxValue> {
  return summary(await exchange(transport, encode({ id: 7, type: 'query', ...packet }), server, port));
}

/** What comes back for these bytes, unread. */
export async function askBytes(hex: string): Promise<string> {
  return (await exchange('udp', Buffer.from(hex, 'hex'))).toString('hex');
}

/** The addresses that glibc finds for a name. */
export async function getent(name: string): Promise<string[]> {
  const text = await new Promise<string>((resolve, reject) => {
    inNetworkNamespace(namespaceOf('client'), () =>
      execFile('getent', ['ahostsv4', name], (error, stdout) => (error ? reject(error) : resolve(stdout))),
    );
  });
  return [
    ...new Set(
      text
        .trim()
        .split('\n')
        .map((line) => line.split(/\s+/)[0] ?? ''),
    ),
  ].sort();
}

export function askedOf(name: string): SandboxValue {
  return asked.filter((query) => query.name === name);
}

export async function metrics(): Promise<SandboxValue> {
  const { body } = await mesh.get('node-1', 15_020, '/metrics');
  return body
    .split('\n')
    .filter((line) => line.startsWith('istio_dns_') && line.includes('request_query_type="srv"'));
}

export function log(): string {
  return mesh.log('node-1');
}

/** What the pod hears from an endpoint of a service that is known by its name only. */
export async function throughHostname(): Promise<string> {
  const key = 'default/outside.example.com';
  mesh.serve('resolver', 8080);
  mesh.controlPlane.setService({
    name: 'outside',
    namespace: 'default',
    hostname: 'outside.example.com',
    addresses: [{ network: '', address: bytesOf('10.96.0.2') }],
    ports: [{ servicePort: 80, targetPort: 8080 }],
  });
  mesh.controlPlane.setWorkload({
    uid: 'Kubernetes/networking.istio.io/ServiceEntry/default/outside',
    name: 'outside',
    namespace: 'default',
    hostname: 'server.example.test',
    services: { [key]: { ports: [{ servicePort: 80, targetPort: 8080 }] } },
  });
  await mesh.untilKnown(({ services }) => services.some((s) => Object.keys(s.endpoints).length === 1));
  return mesh.talk('client', '10.96.0.2', 80);
}

/** Whether anything listens on the proxy's ports after the pod has left the mesh and come back. */
export async function leaveAndReturn(): Promise<{ away: string; back: SandboxValue }> {
  await mesh.release('client');
  const away = await exchange('tcp', encode({ id: 7, type: 'query' }), '127.0.0.1', 15_053).then(
    () => 'answered',
    (error: NodeJS.ErrnoException) => error.code ?? String(error),
  );
  await mesh.readd('client');
  return { away, back: await ask('udp', { questions: [{ name: 'web', type: 'A' }] }) };
}

/** Resolves once the resolver is gone, with the answer that the pod gets then. */
export async function withoutResolver(): Promise<SandboxValue> {
  inNetworkNamespace(namespaceOf('resolver'), () => execFileSync('ip', ['link', 'set', 'eth0', 'down']));
  const forwarded = await ask('tcp', { questions: [{ name: 'lost.test', type: 'A' }] });
  const local = await ask('udp', { questions: [{ name: 'web', type: 'A' }] });
  await eventually('the log', () => Promise.resolve(mesh.log('node-1').includes('WEFT1350')));
  return { forwarded, local };
}

function summary(response: Buffer): SandboxValue {
  const { flag_aa: aa, flag_tc: tc, answers = [], ...packet } = decode(response);
  const { rcode = '' } = packet as { rcode?: string }; // missing in the types of dns-packet
  const records = answers.map((a) => `${a.name} ${a.type} ${'data' in a ? JSON.stringify(a.data) : ''}`);
  return { rcode, aa, tc, count: records.length, records: records.slice(0, 4) };
}

function exchange(transport: string, request: Buffer, server = CLUSTER_DNS, port = 53): Promise<Buffer> {
  return transport === 'udp' ? overUdp(request, server, port) : overTcp(request, server, port);
}

async function overUdp(request: Buffer, server: string, port: number): Promise<Buffer> {
  const family = server.includes(':') ? 6 : 4;
  const fd = inNetworkNamespace(namespaceOf('client'), () => createUdpSocket({ family }));
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  socket.bind({ fd });
  socket.send(request, port, server);
  try {
    const [response] = (await once(socket, 'message', { signal: AbortSignal.timeout(10_000) })) as [Buffer]; // as dgram emits it
    return response;
  } finally {
    socket.close();
  }
}

/** Half-closes after the question, as some clients do. */
async function overTcp(request: Buffer, server: string, port: number): Promise<Buffer> {
  const { fd } = inNetworkNamespace(namespaceOf('client'), () => createTcpSocket({ family: 4 }));
  const socket = new Socket({ fd, allowHalfOpen: true }).connect({ host: server, port });
  const length = Buffer.alloc(2);
  length.writeUInt16BE(request.length);
  socket.end(Buffer.concat([length, request]));
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer); // sockets yield Buffers
  return Buffer.concat(chunks).subarray(2);
}

/** The resolver outside: it knows a few names, keeps what it is asked, and echoes what is no query. */
function serveNames(namespace: NetworkNamespace): void {
  const bind = { host: '0.0.0.0', port: 53, reusePort: false };
  const fd = inNetworkNamespace(namespace, () => createUdpSocket({ family: 4, bind }));
  const udp = createSocket('udp4');
  udp.on('message', (request: Buffer, peer: RemoteInfo) => {
    udp.send(reply(request, peer.address, 'udp'), peer.port, peer.address);
  });
  udp.bind({ fd });
  const listener = inNetworkNamespace(namespace, () => createTcpListener({ host: '0.0.0.0', port: 53 }));
  createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (chunk: Buffer) => {
      const response = reply(chunk.subarray(2), socket.remoteAddress ?? '', 'tcp');
      const length = Buffer.alloc(2);
      length.writeUInt16BE(response.length);
      socket.end(Buffer.concat([length, response]));
    });
  }).listen({ fd: listener.fd });
}

function reply(request: Buffer, from: string, transport: string): Buffer {
  const isQuery = (request.readUInt16BE(2) & 0x7800) === 0;
  const { id, questions = [] } = isQuery ? decode(request) : { id: 0 };
  const name = questions[0]?.name ?? '';
  asked.push({ name, from, transport, hex: request.toString('hex') });
  if (!isQuery) {
    const echo = Buffer.from(request);
    echo[2] = (echo[2] ?? 0) | 0x80;
    return echo;
  }
  const a = (data: string): Packet['answers'] => [{ name, type: 'A', ttl: 60, data }];
  const answers =
    name === 'www.example.test'
      ? a('192.0.2.80')
      : name === 'server.example.test' && questions[0]?.type === 'A'
        ? a(RESOLVER_IP)
        : name === 'big.example.test'
          ? Array.from(
              { length: BIG_ANSWER },
              (_, i) => ({ name, type: 'A', ttl: 60, data: `192.0.3.${i}` }) as const,
            )
          : [];
  const isTooBig = transport === 'udp' && answers !== undefined && answers.length > 20;
  const code = answers?.length === 0 ? 3 : 0;
  const flags = 0x0180 | (isTooBig ? 0x0200 : 0) | code;
  return encode({
    type: 'response',
    id: id ?? 0,
    flags,
    questions,
    answers: isTooBig ? [] : (answers ?? []),
  });
}

/** The reference's rules for DNS, in the thread's present namespace. */
function captureDns(): void {
  const notOurs = ['-m', 'mark', '!', '--mark', '0x539/0xfff'];
  const iptables = (...args: string[]): unknown => execFileSync('iptables', args);
  const redirect = ['--dport', '53', ...notOurs, '-j', 'REDIRECT', '--to-ports', '15053'];
  iptables('-t', 'nat', '-A', 'OUTPUT', '!', '-o', 'lo', '-p', 'udp', ...redirect);
  iptables('-t', 'nat', '-A', 'OUTPUT', '!', '-d', '127.0.0.1/32', '-p', 'tcp', ...redirect);
  const ours = ['-m', 'mark', '--mark', '0x539/0xfff'];
  iptables('-t', 'raw', '-A', 'OUTPUT', '-p', 'udp', ...ours, '--dport', '53', '-j', 'CT', '--zone', '1');
  iptables(
    '-t',
    'raw',
    '-A',
    'PREROUTING',
    '-p',
    'udp',
    ...notOurs,
    '--sport',
    '53',
    '-j',
    'CT',
    '--zone',
    '1',
  );
}

function namespaceOf(pod: string): NetworkNamespace {
  return (mesh.pods.get(pod) ?? fail(pod)).namespace;
}

function fail(what: string): never {
  throw new Error(`no ${what}`);
}
