import { MeshSandbox } from './mesh-sandbox.ts';

/** Steps of ztunnel.kernel.test.ts; they run inside a Sandbox. */

let mesh: MeshSandbox;

export async function start(): Promise<void> {
  mesh = await MeshSandbox.create();
  mesh.addNode('node-1', '10.0.1.254');
  mesh.addNode('node-2', '10.0.2.254');
  mesh.addPod('client', 'node-1', '10.0.1.1');
  mesh.addPod('neighbour', 'node-1', '10.0.1.2');
  mesh.addPod('server', 'node-2', '10.0.2.1');
  mesh.addPod('outsider', 'node-2', '10.0.2.2');
  mesh.startZtunnel('node-1');
  mesh.startZtunnel('node-2');
  await mesh.untilReady('node-1');
  await mesh.untilReady('node-2');
  for (const pod of ['client', 'neighbour', 'server']) await mesh.capture(pod);
  for (const pod of ['client', 'neighbour', 'server', 'outsider']) mesh.serve(pod, 8080);
}

export function talk(from: string, ip: string, port: number): Promise<string> {
  return mesh.talk(from, ip, port);
}

export function log(node: string): string {
  return mesh.log(node);
}

export function stop(): Promise<void> {
  return mesh.stop();
}
