import type { Testbed } from '../testbed.ts';
import type { BenchPath } from './bench-path.ts';

/** Pods without a mesh. */
export function plainPath(testbed: Testbed, name: string, subnet: number): BenchPath {
  const { mesh } = testbed;
  const pod = name.replaceAll(' ', '-');
  const ip = `10.0.${subnet}.12`;
  mesh.addPod(`${pod}-client`, 'none', `10.0.${subnet}.11`);
  mesh.addPod(`${pod}-server`, 'none', ip);
  mesh.addPod(`${pod}-neighbour`, 'none', `10.0.${subnet}.13`);
  return {
    name,
    client: testbed.namespaceOf(`${pod}-client`),
    neighbour: testbed.namespaceOf(`${pod}-neighbour`),
    server: testbed.namespaceOf(`${pod}-server`),
    ip,
    carriesBytes: true,
    processes: () => [],
    restart: async () => undefined,
  };
}
