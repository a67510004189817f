import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { istio } from '@weft/api/workload';
import { inNetworkNamespace } from '@weft/linux';
import { addressOf, passOnTo, serveHbone } from './hbone-peers.ts';
import { bytesOf, eventually, MeshSandbox } from './mesh-sandbox.ts';

/** Steps of networks.kernel.test.ts; they run inside a Sandbox. */

let mesh: MeshSandbox;

const ips = { client: '10.0.1.1', far: '10.0.2.1', gateway: '10.0.2.2', own: '10.0.3.1', other: '10.0.3.2' };
const VIP = '10.96.0.1';
const HOST = 'web.default.svc.cluster.local';
const GATEWAY_HOST = 'gateway.default.svc.cluster.local';
const identityOf = (pod: string): string => `spiffe://cluster.local/ns/default/sa/${pod}`;
const webPorts = { [`default/${HOST}`]: { ports: [{ servicePort: 80, targetPort: 8080 }] } };

/** Pod `far` and the gateway are on the network of the same name; `own` and `other` have proxies of their own. */
export async function start(): Promise<void> {
  mesh = await MeshSandbox.create();
  mesh.addNode('node-1', '10.0.1.254');
  mesh.addNode('node-2', '10.0.2.254');
  mesh.addPod('client', 'node-1', ips.client);
  mesh.addPod('far', 'node-2', ips.far);
  mesh.addPod('gateway', 'node-2', ips.gateway);
  mesh.startZtunnel('node-1');
  mesh.startZtunnel('node-2', { NETWORK: 'far' });
  for (const pod of ['own', 'other'] as const) {
    mesh.addDedicatedPod(pod, ips[pod]);
    mesh.startDedicatedZtunnel(pod, { IPV6_ENABLED: String(pod === 'other') });
  }
  for (const node of ['node-1', 'node-2', 'own', 'other']) await mesh.untilReady(node);
  await mesh.capture('client');
  await mesh.capture('far', { network: 'far', services: webPorts });
  for (const pod of ['client', 'far', 'own', 'other']) mesh.serve(pod, 8080);
  const gateway = mesh.pods.get('gateway');
  if (gateway === undefined) throw new Error('no gateway');
  mesh.describe('gateway', {
    network: 'far',
    tunnelProtocol: istio.workload.TunnelProtocol.HBONE,
    services: { [`default/${GATEWAY_HOST}`]: { ports: [{ servicePort: 15_008, targetPort: 15_008 }] } },
  });
  const place = {
    namespace: gateway.namespace,
    certificate: await mesh.controlPlane.certificate(identityOf('gateway')),
  };
  serveHbone(place, (request) => void passOnTo(place, addressOf(ips.far, 15_008))(request));
  mesh.controlPlane.setService({
    name: 'gateway',
    namespace: 'default',
    hostname: GATEWAY_HOST,
    addresses: [{ network: 'far', address: bytesOf('10.97.0.1') }],
    ports: [{ servicePort: 15_008, targetPort: 15_008 }],
  });
  await setWeb([identityOf('far')]);
}

export function stop(): Promise<void> {
  return mesh.stop();
}

async function setWeb(subjectAltNames: string[]): Promise<void> {
  mesh.controlPlane.setService({
    name: 'web',
    namespace: 'default',
    hostname: HOST,
    addresses: [{ network: '', address: bytesOf(VIP) }],
    ports: [{ servicePort: 80, targetPort: 8080 }],
    subjectAltNames,
  });
  await mesh.untilKnown(({ services }) =>
    services.some((s) => s.name === 'web' && s.subjectAltNames.join() === subjectAltNames.join()),
  );
}

export interface Crossing {
  readonly answer: string;
  readonly outbound: string;
  readonly inbound: string;
  readonly labels: string;
}

/** What the client hears through the gateway, and how both proxies saw it. */
export async function acrossNetworks(by: 'address' | 'service'): Promise<Crossing> {
  const networkGateway: istio.workload.GatewayAddress.$Properties =
    by === 'address'
      ? { address: { network: 'far', address: bytesOf(ips.gateway) }, hboneMtlsPort: 15_008 }
      : { hostname: { namespace: 'default', hostname: GATEWAY_HOST }, hboneMtlsPort: 15_008 };
  mesh.describe('far', { network: 'far', services: webPorts, networkGateway });
  await mesh.untilKnown(({ workloads }) =>
    workloads.some(
      ({ name, networkGateway: known }) =>
        name === 'far' && JSON.stringify(known ?? '').includes(by === 'address' ? ips.gateway : GATEWAY_HOST),
    ),
  );
  const answer = await mesh.talk('client', VIP, 80);
  const lines = (node: string): string[] =>
    mesh
      .log(node)
      .split('\n')
      .filter((line) => line.includes('connection complete'));
  await eventually('the access logs', () =>
    Promise.resolve(lines('node-1').length > 0 && lines('node-2').length > 0),
  );
  const { body } = await mesh.get('node-1', 15_020, '/metrics');
  const labels = body.split('\n').find((line) => line.startsWith('istio_tcp_connections_opened_total')) ?? '';
  return { answer, outbound: lines('node-1').at(-1) ?? '', inbound: lines('node-2').at(-1) ?? '', labels };
}

/** The service lists somebody else, so whoever answers inside isn't believed. */
export async function withoutTheName(): Promise<string> {
  await setWeb([identityOf('somebody')]);
  const answer = await mesh.talk('client', VIP, 80).catch(codeOf);
  await setWeb([identityOf('far')]);
  return answer;
}

/** The other network's pod by its address, which happens to be routable in this sandbox. */
export function directlyToOtherNetwork(): Promise<string> {
  return mesh.talk('client', ips.far, 8080).catch(codeOf);
}

/** What one pod hears from the other. */
export async function dedicated(from: 'own' | 'client', to: 'own' | 'other' | 'client'): Promise<string> {
  return mesh.talk(from, ips[to], 8080);
}

export function identitySeen(node: string, identity: string): Promise<void> {
  return eventually('the access log', () =>
    Promise.resolve(mesh.log(node).includes(`src.identity="${identityOf(identity)}"`)),
  );
}

interface SocketState {
  /** `listen 15001`, `accepted 15001` or `to 15008`. */
  readonly what: string;
  readonly address: string;
  readonly hasKeepalive: boolean;
  readonly mark: string;
}

/** The proxy's sockets in both pods of an open tunnelled connection, as the kernel has them. */
export async function sockets(): Promise<{ client: readonly SocketState[]; own: readonly SocketState[] }> {
  const connection = mesh.dial('client', ips.own, 8080);
  await once(connection, 'data');
  // While bytes are under way, the kernel shows their timer in place of the keepalive's.
  await eventually('the connection to be quiet', () =>
    Promise.resolve(!`${socketTable('client')}${socketTable('own')}`.includes('timer:(on')),
  );
  const states = { client: socketsOf('client'), own: socketsOf('own') };
  connection.destroy();
  return states;
}

function socketTable(pod: 'client' | 'own'): string {
  const place = mesh.pods.get(pod);
  if (place === undefined) throw new Error(`no ${pod}`);
  // Without those that are closing, which show no keepalive.
  const command = ['-tnoeHa', 'state', 'listening', 'state', 'established'];
  return inNetworkNamespace(place.namespace, () => execFileSync('ss', command, { encoding: 'utf8' }));
}

function socketsOf(pod: 'client' | 'own'): readonly SocketState[] {
  return socketTable(pod)
    .trim()
    .split('\n')
    .map((line): SocketState => {
      const [state, , , local = '', peer = ''] = line.split(/\s+/);
      const portOf = (address: string): number => Number(address.split(':').at(-1));
      const isAccepted = portOf(local) > 15_000 && portOf(local) < 15_100;
      const kind = state === 'LISTEN' ? 'listen' : isAccepted ? 'accepted' : 'to';
      return {
        what: `${kind} ${kind === 'to' ? portOf(peer) : portOf(local)}`,
        address: local.replace(/:\d+$/, ''),
        hasKeepalive: line.includes('timer:(keepalive,2min') || line.includes('timer:(keepalive,3min'),
        mark: /fwmark:(\S+)/.exec(line)?.[1] ?? '',
      };
    });
}

/** Soft and hard limit of open files of a proxy. */
export function fileLimits(): readonly [soft: string, hard: string] {
  const limits = readFileSync(`/proc/${mesh.ztunnel('node-1').pid}/limits`, 'utf8');
  const [, soft = '', hard = ''] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(limits) ?? [];
  return [soft, hard];
}

/** Whose certificates a dedicated proxy has asked for. */
export async function certificates(): Promise<string[]> {
  const { certificates: known } = await mesh.configDump('own');
  return known.map(({ identity }) => identity);
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error);
}
