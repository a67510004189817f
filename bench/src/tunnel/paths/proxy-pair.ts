import type { ChildProcess } from 'node:child_process';
import type { NetworkNamespace } from '@weft/linux';
import type { Testbed } from '../testbed.ts';
import type { BenchPath } from './bench-path.ts';

/** A proxy in the client's pod and one in the server's. */
export function proxyPair(
  testbed: Testbed,
  o: {
    readonly name: string;
    readonly client: NetworkNamespace;
    readonly server: NetworkNamespace;
    /** What the client connects to. */
    readonly ip: string;
    readonly start: () => readonly ChildProcess[];
  },
): BenchPath {
  const { name, client, server, ip } = o;
  let running = o.start();
  return {
    name,
    client,
    server,
    ip,
    carriesBytes: true,
    processes: () => running,
    restart: async () => {
      await Promise.all(running.map((child) => testbed.end(child)));
      running = o.start();
    },
  };
}
