import { once } from 'node:events';
import type { Socket } from 'node:net';
import { bytesOf, MeshSandbox, sleep } from './mesh-sandbox.ts';

/** Two nodes with a proxy each, five pods, and a service; the steps of several scenarios share it. */
export let mesh: MeshSandbox;

export const ips = {
  client: '10.0.1.1',
  neighbour: '10.0.1.2',
  server: '10.0.2.1',
  second: '10.0.2.3',
  outsider: '10.0.2.2',
};

export const VIP = '10.96.0.1';

const WEB = 'default/web.default.svc.cluster.local';

/** Longer than anything waits that ends by itself, on a slow machine too. */
export const patient = { CONNECTION_TERMINATION_DEADLINE: '30s' };

export const inWeb = { [WEB]: { ports: [{ servicePort: 80, targetPort: 8080 }] } };

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
  mesh.startZtunnel('node-2', patient);
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

export type Ending = { readonly before: string; readonly after: string };

/** Opens a connection and leaves it open while something is done; tells how it fares then. */
export async function whileOpen(
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

export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error);
}
