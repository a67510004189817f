import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import type { Probe } from '../pod.ts';
import { Prober } from './prober.ts';

/** Runs a probe over outcomes, one each period: `+` succeeds, `-` fails. */
async function probe(spec: Probe, initial: boolean, outcomes: string): Promise<string[]> {
  const clock = new ManualClock();
  const changes: string[] = [];
  let next = 0;
  const prober = new Prober({
    probe: spec,
    initial,
    clock,
    attempt: () =>
      Promise.resolve(outcomes[next++] === '+' ? { ok: true } : { ok: false, message: `failure ${next}` }),
    onChange: (healthy, message) => changes.push(healthy ? `${next} healthy` : `${next} ${message}`),
    onFailure: () => undefined,
  });
  await clock.advance(
    (spec.initialDelaySeconds ?? 0) * 1000 + (outcomes.length - 1) * (spec.periodSeconds ?? 10) * 1000 + 500,
  );
  prober.stop();
  expect(clock.pending).toBe(0);
  expect(next).toBe(outcomes.length);
  return changes;
}

describe('Prober', () => {
  it.each([
    ['reports the first success', {}, false, '+', ['1 healthy']],
    ['reports a failure after three in a row', {}, true, '+--+---', ['7 failure 7']],
    ['reports recovery', {}, true, '---+', ['3 failure 3', '4 healthy']],
    ['waits for as many successes as asked', { successThreshold: 3 }, false, '++-+++', ['6 healthy']],
    ['reports a container that never starts', { failureThreshold: 2 }, false, '--', ['2 failure 2']],
    ['waits for its first turn', { initialDelaySeconds: 30, periodSeconds: 1 }, false, '-+', ['2 healthy']],
  ] as const)('%s', async (_name, spec, initial, outcomes, changes) => {
    expect(await probe(spec, initial, outcomes)).toEqual(changes);
  });
});
