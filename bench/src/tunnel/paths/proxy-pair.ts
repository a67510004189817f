import type { ChildProcess } from 'node:child_process';
import type { NetworkNamespace } from '@weft/linux';
import type { Testbed } from '../testbed.ts';
import type { BenchPath } from './bench-path.ts';

/** A proxy in the client's pod and one in the server's. The client talks to a port of its own pod. */
export function proxyPair(
  testbed: Testbed,
  o: {
    readonly name: string;
    readonly client: NetworkNamespace;
    readonly server: NetworkNamespace;
    readonly start: () => readonly ChildProcess[];
  },
): BenchPath {
  const { name, client, server } = o;
  let running = o.start();
  return {
    name,
    client,
    server,
    ip: '127.0.0.1',
    carriesBytes: true,
    processes: () => running,
    restart: async () => {
      await Promise.all(running.map((child) => testbed.end(child)));
      running = o.start();
    },
  };
}
