import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { istio } from '@weft/api/workload';
import { bytesOf, eventually, ipv6Of, MeshSandbox, readAll, sleep } from './mesh-sandbox.ts';

/** Steps of ztunnel.kernel.test.ts; they run inside a Sandbox. */

let mesh: MeshSandbox;

export const ips = {
  client: '10.0.1.1',
  neighbour: '10.0.1.2',
  server: '10.0.2.1',
  second: '10.0.2.3',
  outsider: '10.0.2.2',
};
const VIP = '10.96.0.1';
const WEB = 'default/web.default.svc.cluster.local';
const inWeb = { [WEB]: { ports: [{ servicePort: 80, targetPort: 8080 }] } };

export async function start(): Promise<void> {
  mesh = await MeshSandbox.create();
  mesh.addNode('node-1', '10.0.1.254');
  mesh.addNode('node-2', '10.0.2.254');
  mesh.addPod('client', 'node-1', ips.client);
  mesh.addPod('neighbour', 'node-1', ips.neighbour);
  mesh.addPod('server', 'node-2', ips.server);
  mesh.addPod('second', 'node-2', ips.second);
  mesh.addPod('outsider', 'node-2', ips.outsider);
  mesh.startZtunnel('node-1', {
    RUST_LOG: 'debug',
    CONNECTION_TERMINATION_DEADLINE: '2s',
    UNSTABLE_ENABLE_SOCKS5: 'true',
  });
  mesh.startZtunnel('node-2', { CONNECTION_TERMINATION_DEADLINE: '2s' });
  await mesh.untilReady('node-1');
  await mesh.untilReady('node-2');
  for (const pod of ['client', 'neighbour']) await mesh.capture(pod);
  for (const pod of ['server', 'second']) await mesh.capture(pod, { services: inWeb });
  for (const pod of Object.keys(ips)) mesh.serve(pod, 8080);
  mesh.controlPlane.setService({
    name: 'web',
    namespace: 'default',
    hostname: 'web.default.svc.cluster.local',
    addresses: [{ network: '', address: bytesOf(VIP) }],
    ports: [{ servicePort: 80, targetPort: 8080 }],
  });
  await mesh.untilKnown(({ services }) =>
    services.some(({ endpoints }) => Object.keys(endpoints).length === 2),
  );
}

export function stop(): Promise<void> {
  return mesh.stop();
}

export function log(node: string): string {
  return mesh.log(node);
}

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
  logged: boolean;
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
  const logged = mesh.log('node-2').includes(`dst.hbone_addr=[${server}]:8080`);
  mesh.describe('server', { services: inWeb });
  mesh.describe('client');
  return { tunnelled, plain, outwards, logged };
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

type Ending = { readonly before: string; readonly after: string };

/** Opens a connection and leaves it open while something is done; tells how it fares then. */
async function whileOpen(
  from: keyof typeof ips,
  to: keyof typeof ips,
  act: () => Promise<void> | void,
  port = 8080,
): Promise<Ending> {
  const socket = mesh.dial(from, ips[to], port);
  const [greeting] = (await once(socket, 'data')) as [Buffer];
  const ended = endOf(socket);
  await act();
  return { before: greeting.toString().trim(), after: await fate(socket, ended) };
}

/** How the peer ended a connection, or that it said something. */
function endOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('error', (error) => resolve(codeOf(error)));
    socket.once('end', () => resolve('closed'));
    socket.once('data', () => resolve('open'));
  });
}

/** `open` if it still echoes, else how it was ended. */
async function fate(socket: Socket, ended: Promise<string>): Promise<string> {
  const pokes = setInterval(() => socket.writable && socket.write('still there?'), 300);
  const result = await Promise.race([ended, sleep(5_000).then(() => 'silent')]);
  clearInterval(pokes);
  socket.destroy();
  return result;
}

const fromClient = { principals: [{ exact: 'cluster.local/ns/default/sa/client' }] };

function policyOf(
  name: string,
  more: istio.security.Authorization.$Properties,
): istio.security.Authorization.$Properties {
  return {
    name,
    namespace: 'default',
    scope: istio.security.Scope.WORKLOAD_SELECTOR,
    action: istio.security.Action.DENY,
    ...more,
  };
}

async function setPolicy(policy: istio.security.Authorization.$Properties): Promise<void> {
  mesh.controlPlane.setPolicy(policy);
  await mesh.untilKnown(({ policies }) => policies.some(({ name }) => name === policy.name));
}

async function removePolicy(name: string): Promise<void> {
  mesh.controlPlane.removePolicy(`default/${name}`);
  await mesh.untilKnown(({ policies }) => !policies.some((p) => p.name === name));
}

/** Sets which policies a captured pod lists. */
async function listPolicies(pod: keyof typeof ips, authorizationPolicies: readonly string[]): Promise<void> {
  const services = pod === 'server' ? inWeb : {};
  mesh.describe(pod, { authorizationPolicies: [...authorizationPolicies], services });
  await mesh.untilKnown(({ workloads }) =>
    workloads.some((w) => w.name === pod && w.authorizationPolicies.join() === authorizationPolicies.join()),
  );
}

/** A namespace-wide DENY for the client arrives while connections of two clients are open. */
export async function denyWhileOpen(): Promise<{
  denied: Ending;
  other: Ending;
  fresh: string;
  afterwards: string;
}> {
  const deny = policyOf('deny-client', {
    scope: istio.security.Scope.NAMESPACE,
    rules: [{ clauses: [{ matches: [fromClient] }] }],
  });
  let other: Ending | undefined;
  const denied = await whileOpen('client', 'server', async () => {
    other = await whileOpen('neighbour', 'server', () => setPolicy(deny));
  });
  const fresh = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  await removePolicy('deny-client');
  const afterwards = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  if (other === undefined) throw new Error('not reached');
  return { denied, other, fresh, afterwards };
}

/** A workload starts to list a policy that exists already. */
export async function listedWhileOpen(): Promise<Ending> {
  await setPolicy(policyOf('selected', { rules: [{ clauses: [{ matches: [fromClient] }] }] }));
  const ending = await whileOpen('client', 'server', () => listPolicies('server', ['default/selected']));
  await listPolicies('server', []);
  await removePolicy('selected');
  return ending;
}

/** STRICT, as the control plane converts it. */
export async function strict(): Promise<{ plaintext: string; open: Ending; mtls: string }> {
  const noIdentity = { notPrincipals: [{ presence: {} }] };
  await setPolicy(policyOf('strict', { rules: [{ clauses: [{ matches: [noIdentity] }] }] }));
  const open = await whileOpen('outsider', 'server', () => listPolicies('server', ['default/strict']));
  const plaintext = await mesh.talk('outsider', ips.server, 8080).catch(codeOf);
  const mtls = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  await listPolicies('server', []);
  await removePolicy('strict');
  return { plaintext, open, mtls };
}

/** A listed policy that arrives while a connection waits for it, and one that never comes. */
export async function unknownPolicy(): Promise<{
  arrives: string;
  never: string;
  waitedMs: number;
  open: Ending;
}> {
  await listPolicies('server', ['default/late']);
  const waiting = mesh.talk('client', ips.server, 8080).catch(codeOf);
  await sleep(500);
  await setPolicy(policyOf('late', { rules: [] }));
  const arrives = await waiting;
  const open = await whileOpen('client', 'server', async () => {
    await listPolicies('server', ['default/late', 'default/never']);
    await sleep(5_500);
  });
  const before = Date.now();
  const never = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  const waitedMs = Date.now() - before;
  await listPolicies('server', []);
  await removePolicy('late');
  return { arrives, never, waitedMs, open };
}

/** Bytes that no client of ours would send, on each port of the proxy, and what was counted. */
export async function garbage(): Promise<{ errors: number; works: string }> {
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
  await sleep(100);
  const errors = (await mesh.metric('node-2', 'weft_errors_total')) - before;
  return { errors, works: await mesh.talk('client', ips.server, 8080) };
}

/** The proxy of the server's node is killed and started again. */
export async function killAndRestart(): Promise<{
  during: string;
  unready: string;
  after: string;
  fromOld: string;
}> {
  await mesh.stopZtunnel('node-2', 'SIGKILL');
  const during = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  mesh.startZtunnel('node-2', { CONNECTION_TERMINATION_DEADLINE: '2s' });
  const { body } = await mesh.readiness('node-2');
  await mesh.untilReady('node-2');
  const after = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  return { during, unready: body, after, fromOld: await mesh.talk('server', ips.client, 8080).catch(codeOf) };
}

/** Del over ZDS while a connection is open; then the pod comes back. */
export async function removePod(): Promise<{ open: Ending; readded: string }> {
  const open = await whileOpen('client', 'server', () => mesh.release('server'));
  const pod = mesh.pods.get('server');
  if (pod === undefined) throw new Error('no server');
  await mesh.readd('server');
  return { open, readded: await mesh.talk('client', ips.server, 8080).catch(codeOf) };
}

interface Listed {
  readonly pod: string;
  readonly direction: string;
  readonly dst: string;
  readonly since: string;
}

/** `GET /connections` of a node. */
async function openOn(node: string): Promise<readonly Listed[]> {
  const { body } = await mesh.get(node, 15_000, '/connections');
  return (JSON.parse(body) as Listed[]).map(({ pod, direction, dst, since }) => ({
    pod,
    direction,
    dst,
    since,
  })); // our own shape
}

/** SIGTERM with an open connection that ends by itself, then one that doesn't. */
export async function drain(): Promise<{
  listed: { before: readonly Listed[]; during: readonly Listed[] };
  finishes: string;
  exit: string;
  tookMs: number;
  stubborn: string;
  stubbornExit: string;
}> {
  const socket = mesh.dial('client', ips.server, 8080);
  await once(socket, 'data');
  const listedBefore = await openOn('node-2');
  const before = Date.now();
  const exited = mesh.stopZtunnel('node-2', 'SIGTERM');
  await sleep(500);
  const listed = { before: listedBefore, during: await openOn('node-2') };
  const answer = readAll(socket);
  socket.end('last words');
  const finishes = (await answer.catch(codeOf)).toString();
  const exit = await exited;
  const tookMs = Date.now() - before;
  mesh.startZtunnel('node-2', { CONNECTION_TERMINATION_DEADLINE: '1s' });
  await mesh.untilReady('node-2');
  let stubbornExit = '';
  const { after: stubborn } = await whileOpen('client', 'server', async () => {
    stubbornExit = await mesh.stopZtunnel('node-2', 'SIGTERM');
  });
  mesh.startZtunnel('node-2', { CONNECTION_TERMINATION_DEADLINE: '2s' });
  await mesh.untilReady('node-2');
  return { listed, finishes, exit, tookMs, stubborn, stubbornExit };
}

/**
 * A second proxy takes over a node while the first drains: a connection of before ends regularly, and none that is
 * made meanwhile fails. The endpoints of the second are elsewhere, as its pod has a namespace of its own.
 */
export async function upgrade(): Promise<{ failed: string[]; old: string; exit: string }> {
  const first = mesh.ztunnel('node-2');
  const socket = mesh.dial('client', ips.server, 8080);
  await once(socket, 'data');
  mesh.startZtunnel('node-2', { CONNECTION_TERMINATION_DEADLINE: '3s' }, '10.0.2.253');
  await mesh.untilReady('node-2');
  const exited = mesh.stopZtunnel('node-2', 'SIGTERM', first);
  const failed: string[] = [];
  for (let i = 0; i < 40; i++) {
    const answer = await mesh.talk('client', ips.server, 8080, `n${i}`).catch(codeOf);
    if (answer !== `server sees ${ips.client}\nn${i}`) failed.push(answer);
  }
  const rest = readAll(socket);
  socket.end('old');
  return { failed, old: (await rest.catch(codeOf)).toString(), exit: await exited };
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
  };
}

/** The control plane is gone: what runs goes on, a new proxy waits. */
export async function withoutControlPlane(): Promise<{ goesOn: string; unready: string }> {
  mesh.controlPlane.stop();
  await sleep(300);
  const goesOn = await mesh.talk('client', ips.server, 8080).catch(codeOf);
  await mesh.stopZtunnel('node-2', 'SIGKILL');
  mesh.startZtunnel('node-2');
  await eventually('the readiness endpoint', async () => (await mesh.readiness('node-2')).status === 500);
  return { goesOn, unready: (await mesh.readiness('node-2')).body };
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error);
}
