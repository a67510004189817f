import { once } from 'node:events';
import { createServer } from 'node:net';
import { istio } from '@weft/api/workload';
import { createTcpListener, inNetworkNamespace } from '@weft/linux';
import { echoAsWaypoint, hboneClient, serveHbone, type HboneClient } from './hbone-peers.ts';
import { bytesOf, MeshSandbox, readAll } from './mesh-sandbox.ts';

/** Steps of waypoint.kernel.test.ts; they run inside a Sandbox. */

let mesh: MeshSandbox;
let intruder: HboneClient;
let stranger: HboneClient;

const ips = {
  client: '10.0.1.1',
  server: '10.0.2.1',
  waypoint: '10.0.2.2',
  outsider: '10.0.2.3',
  plain: '10.0.2.4',
  proxied: '10.0.2.5',
};
const vips = { web: '10.96.0.1', gateway: '10.96.0.2', byName: '10.96.0.3', byWorkload: '10.96.0.4' };
const vipsBehind = { plain: '10.96.0.5', proxied: '10.96.0.6' };
const identityOf = (pod: string): string => `spiffe://cluster.local/ns/default/sa/${pod}`;
const hostOf = (name: string): string => `${name}.default.svc.cluster.local`;
const key = (name: string): string => `default/${hostOf(name)}`;
const waypointAt = (ip: string): istio.workload.GatewayAddress.$Properties => ({
  address: { network: '', address: bytesOf(ip) },
  hboneMtlsPort: 15_008,
});
const waypointNamed = (hostname: string): istio.workload.GatewayAddress.$Properties => ({
  hostname: { namespace: 'default', hostname },
  hboneMtlsPort: 15_008,
});

const serverServices = {
  [key('web')]: { ports: [{ servicePort: 80, targetPort: 8080 }] },
  [key('named')]: { ports: [{ servicePort: 80, targetPort: 8080 }] },
};

export async function start(): Promise<void> {
  mesh = await MeshSandbox.create();
  mesh.addNode('node-1', '10.0.1.254');
  mesh.addNode('node-2', '10.0.2.254');
  for (const [pod, ip] of Object.entries(ips)) mesh.addPod(pod, pod === 'client' ? 'node-1' : 'node-2', ip);
  for (const node of ['node-1', 'node-2']) mesh.startZtunnel(node);
  for (const node of ['node-1', 'node-2']) await mesh.untilReady(node);
  await mesh.capture('client');
  await mesh.capture('server', { services: serverServices });
  mesh.serve('server', 8080);
  // The waypoint speaks HBONE itself; the two of the sandwich have it spoken by the node's proxy.
  mesh.describe('waypoint', {
    tunnelProtocol: istio.workload.TunnelProtocol.HBONE,
    nativeTunnel: true,
    hostname: 'waypoint.example.com',
    services: { [key('gateway')]: { ports: [{ servicePort: 15_008, targetPort: 15_008 }] } },
  });
  await mesh.capture('plain', { applicationTunnel: { protocol: NONE, port: 15_088 } });
  await mesh.capture('proxied', { applicationTunnel: { protocol: PROXY, port: 15_088 } });
  for (const pod of ['plain', 'proxied'] as const) dumpOnConnect(pod);

  service('web', { addresses: [vips.web] });
  service('named', { addresses: [], ports: [{ servicePort: 80, targetPort: 0 }] });
  service('gateway', { addresses: [vips.gateway], ports: [{ servicePort: 15_008, targetPort: 15_008 }] });
  service('by-name', { addresses: [vips.byName], waypoint: waypointNamed(hostOf('gateway')) });
  service('by-workload', { addresses: [vips.byWorkload], waypoint: waypointNamed('waypoint.example.com') });
  service('behind-plain', { addresses: [vipsBehind.plain], waypoint: waypointAt(ips.plain) });
  service('behind-proxied', { addresses: [vipsBehind.proxied], waypoint: waypointAt(ips.proxied) });
  await mesh.untilKnown(
    ({ services, workloads }) =>
      services.some(({ name }) => name === 'behind-proxied') &&
      workloads.some(({ name }) => name === 'proxied'),
  );
  serveHbone(
    { namespace: namespaceOf('waypoint'), certificate: await certificateOf('waypoint') },
    echoAsWaypoint,
  );
  const namespace = namespaceOf('outsider');
  intruder = hboneClient({ namespace, certificate: await certificateOf('outsider') });
  const foreign = await mesh.controlPlane.certificate('spiffe://other.domain/ns/default/sa/outsider');
  stranger = hboneClient({ namespace, certificate: foreign });
}

const { NONE, PROXY } = istio.workload.ApplicationTunnel.Protocol;

export async function stop(): Promise<void> {
  intruder.close();
  stranger.close();
  await mesh.stop();
}

function service(
  name: string,
  {
    addresses,
    ...more
  }: Omit<istio.workload.Service.$Properties, 'addresses'> & { addresses: readonly string[] },
): void {
  mesh.controlPlane.setService({
    name,
    namespace: 'default',
    hostname: hostOf(name),
    addresses: addresses.map((ip) => ({ network: '', address: bytesOf(ip) })),
    ports: [{ servicePort: 80, targetPort: 8080 }],
    ...more,
  });
}

function namespaceOf(pod: keyof typeof ips): { readonly fd: number } {
  const found = mesh.pods.get(pod);
  if (found === undefined) throw new Error(`no ${pod}`);
  return found.namespace;
}

function certificateOf(pod: keyof typeof ips): ReturnType<typeof mesh.controlPlane.certificate> {
  return mesh.controlPlane.certificate(identityOf(pod));
}

/** An application that answers with everything it was sent, in hexadecimal, and where it was reached. */
function dumpOnConnect(pod: keyof typeof ips): void {
  const { fd } = inNetworkNamespace(namespaceOf(pod), () => createTcpListener({ host: '::', port: 15_088 }));
  createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('end', () => {
      const bytes = Buffer.concat(chunks);
      const plain = (address: string | undefined): string => (address ?? '').replace('::ffff:', '');
      socket.end(`${plain(socket.remoteAddress)} ${plain(socket.localAddress)} ${bytes.toString('hex')}`);
    });
  })
    .listen({ fd })
    .unref();
}

/** What the client hears from a service whose waypoint is named in one of the three ways. */
export async function throughServiceWaypoint(by: 'vip' | 'hostname' | 'workload'): Promise<string> {
  if (by === 'vip') await setWebWaypoint(waypointAt(vips.gateway));
  const vip = { vip: vips.web, hostname: vips.byName, workload: vips.byWorkload }[by];
  const answer = await mesh.talk('client', vip, 80);
  if (by === 'vip') await setWebWaypoint(null);
  return answer;
}

async function setWebWaypoint(waypoint: istio.workload.GatewayAddress.$Properties | null): Promise<void> {
  service('web', { addresses: [vips.web], waypoint });
  await mesh.untilKnown(({ services }) =>
    services.some((s) => s.name === 'web' && (s.waypoint === undefined) === (waypoint === null)),
  );
}

/** A pod with a waypoint, addressed directly by the client and by the waypoint itself. */
export async function throughWorkloadWaypoint(): Promise<{ client: string; waypoint: string }> {
  const services = serverServices;
  mesh.describe('server', { waypoint: waypointAt(vips.gateway), services });
  await mesh.untilKnown(({ workloads }) =>
    workloads.some(({ name, waypoint }) => name === 'server' && waypoint !== undefined),
  );
  const client = await mesh.talk('client', ips.server, 8080);
  const tunnel = await hboneClient({
    namespace: namespaceOf('waypoint'),
    certificate: await certificateOf('waypoint'),
  }).connect({ to: ips.server, authority: `${ips.server}:8080`, acceptable: [identityOf('server')] });
  const duplex = tunnel.stream.toDuplex();
  const [greeting] = (await once(duplex, 'data')) as [Buffer];
  duplex.destroy();
  tunnel.session.destroy();
  mesh.describe('server', { services });
  return { client, waypoint: greeting.toString() };
}

/** A waypoint without HBONE of its own, behind the node's proxy. */
export async function sandwich(kind: 'plain' | 'proxied'): Promise<string> {
  return mesh.talk('client', vipsBehind[kind], 80, 'hello');
}

/** CONNECT with this authority from a pod that speaks HBONE itself: the greeting, or the status of the refusal. */
export async function ask(authority: string): Promise<string | number> {
  try {
    const { stream } = await intruder.connect({
      to: ips.server,
      authority,
      acceptable: [identityOf('server')],
    });
    const duplex = stream.toDuplex();
    const [greeting] = (await once(duplex, 'data')) as [Buffer];
    duplex.destroy();
    return greeting.toString();
  } catch (error) {
    return statusOf(error);
  }
}

/** The same with a certificate of another trust domain. */
export async function askAsStranger(): Promise<string | number> {
  const request = { to: ips.server, authority: `${ips.server}:8080`, acceptable: [identityOf('server')] };
  return stranger.connect(request).then(() => 'accepted', statusOf);
}

function statusOf(error: unknown): string | number {
  if (typeof error !== 'object' || error === null) return String(error);
  if ('status' in error) return Number(error.status);
  return 'code' in error ? String(error.code) : 'failed without a code';
}

/** How connections to the proxy's own ports end that no proxy would make. */
export async function proxyPorts(): Promise<Readonly<Record<string, string>>> {
  const ended: Record<string, string> = {};
  const ways = [
    ['outsider', ips.server, 15_001],
    ['outsider', ips.server, 15_006],
    ['client', ips.server, 15_001],
    ['client', ips.server, 15_006],
    ['client', ips.server, 15_008],
    ['client', ips.client, 15_001],
    ['client', ips.client, 15_006],
    ['client', '127.0.0.1', 15_001],
    ['client', '127.0.0.1', 15_006],
  ] as const;
  for (const [from, ip, port] of ways) {
    ended[`${from} ${ip} ${port}`] = await mesh
      .talk(from, ip, port)
      .catch((error: unknown) => String(statusOf(error)));
  }
  return ended;
}

/** How the metrics come to a scraper that takes gzip. */
export async function metricsCompression(): Promise<{ encoding: string; sameText: boolean }> {
  const { gunzipSync } = await import('node:zlib');
  const socket = mesh.dialNode('node-1', 15_020);
  socket.write('GET /metrics HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n');
  const answer = await readAll(socket);
  const cut = answer.indexOf('\r\n\r\n');
  const head = answer.subarray(0, cut).toString();
  const encoding = /content-encoding: (\S+)/i.exec(head)?.[1] ?? '';
  const body = answer.subarray(cut + 4);
  const text = /transfer-encoding: chunked/i.test(head) ? unchunk(body) : body;
  return { encoding, sameText: gunzipSync(text).toString().trimEnd().endsWith('# EOF') };
}

function unchunk(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = body.indexOf('\r\n', at);
    const size = Number.parseInt(body.subarray(at, end).toString(), 16);
    if (end < 0 || !(size > 0)) return Buffer.concat(parts);
    parts.push(body.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}
