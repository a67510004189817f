import { expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { KeyedReconciler } from './keyed-reconciler.ts';

function createReconciler(reconcile: (key: string) => Promise<void>, concurrency = 2) {
  const clock = new ManualClock();
  const stop = new AbortController();
  const errors: string[] = [];
  const reconciler = new KeyedReconciler({
    reconcile,
    onError: (key) => void errors.push(key),
    clock,
    signal: stop.signal,
    concurrency,
  });
  return { clock, stop, errors, reconciler };
}

it('runs a key once more when it is enqueued while running, and never twice at a time', async () => {
  const runs: string[] = [];
  const releases: (() => void)[] = [];
  const { clock, reconciler } = createReconciler((key) => {
    runs.push(key);
    return new Promise((resolve) => void releases.push(resolve));
  });
  reconciler.enqueue('a');
  reconciler.enqueue('a');
  reconciler.enqueue('a');
  await clock.advance(0);
  expect(runs).toEqual(['a']);
  releases.shift()?.();
  await clock.advance(0);
  expect(runs).toEqual(['a', 'a']);
  releases.shift()?.();
  await clock.advance(0);
  expect(reconciler.idle).toBe(true);
});

it('tries a key that failed again, later and later, without holding up others', async () => {
  let failures = 3;
  const runs: string[] = [];
  const { clock, errors, reconciler } = createReconciler((key) => {
    runs.push(key);
    return key === 'bad' && failures-- > 0 ? Promise.reject(new Error('no')) : Promise.resolve();
  });
  reconciler.enqueue('bad');
  reconciler.enqueue('good');
  await clock.advance(0);
  expect(runs).toEqual(['bad', 'good']);
  await clock.advance(5_000);
  expect(errors).toEqual(['bad', 'bad', 'bad']);
  expect(runs).toEqual(['bad', 'good', 'bad', 'bad', 'bad']);
  expect(clock.pending).toBe(0);
});

it('leaves no timer behind when it is stopped', async () => {
  const { clock, stop, reconciler } = createReconciler(() => Promise.reject(new Error('no')));
  reconciler.enqueue('a');
  await clock.advance(0);
  expect(clock.pending).toBe(1);
  stop.abort();
  expect(clock.pending).toBe(0);
  reconciler.enqueue('a');
  await clock.advance(10_000);
  expect(reconciler.idle).toBe(true);
});
