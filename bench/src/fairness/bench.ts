import { Sandbox } from '@weft/linux/testing';
import { compare, type Result } from '../result.ts';

const EXCHANGES = 2_000;
const IDLE_CONNECTIONS = 1_000;

/**
 * What one pod's saturated tunnel does to another pod of its node: the p99 of small exchanges with and without it,
 * in the mesh and, for what the machine alone does, without one. And what idle tunnelled connections cost.
 */
export async function* benchFairness({ rounds }: { readonly rounds: number }): AsyncGenerator<Result> {
  for (const isMeshed of [true, false]) {
    const sandbox = Sandbox.start(new URL('./fairness.scenario.js', import.meta.url));
    try {
      await sandbox.call('start', isMeshed);
      if (isMeshed) yield* idle(await sandbox.call('idleConnections', IDLE_CONNECTIONS));
      const contended: number[] = [];
      const alone: number[] = [];
      for (let round = 0; round < rounds; round++) {
        alone.push(Number(await sandbox.call('p99', false, EXCHANGES)));
        contended.push(Number(await sandbox.call('p99', true, EXCHANGES)));
      }
      yield compare('fairness', `p99-1-ms${isMeshed ? '' : '-no-mesh'}`, 'alone', contended, alone);
      await sandbox.call('stop');
    } finally {
      await sandbox.stop();
    }
  }
}

/** Against the goal of 40 MiB. */
function* idle(measured: unknown): Generator<Result> {
  const goal = 40;
  for (const [side, mib] of Object.entries(measured as Record<string, number>)) // as the scenario returns it
    yield compare('fairness', `rss-idle-1000-${side}-mb`, 'goal', [mib], [goal]);
}
