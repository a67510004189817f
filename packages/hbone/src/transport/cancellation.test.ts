import { describe, expect, it } from '@jest/globals';
import { Cancellation, type CancelSignal } from './cancellation.ts';

/** What node's own does is the measure. */
describe.each([
  ['an AbortController', () => fromController(new AbortController())],
  ['a Cancellation', () => ({ signal: new Cancellation() as CancelSignal, abort: undefined })],
])('%s', (_name, make) => {
  function start(): { signal: CancelSignal; abort: (reason: unknown) => void; told: string[] } {
    const { signal, abort } = make();
    return {
      signal,
      abort: abort ?? ((reason) => signal instanceof Cancellation && signal.abort(reason)),
      told: [],
    };
  }
  const once = { once: true } as const;

  it('tells its listeners once, in their order, and keeps the first reason', () => {
    const { signal, abort, told } = start();
    signal.addEventListener('abort', () => told.push('first'), once);
    signal.addEventListener('abort', () => told.push('second'), once);
    expect(signal.aborted).toBe(false);
    abort('because');
    abort('again');
    expect(told).toEqual(['first', 'second']);
    expect([signal.aborted, signal.reason]).toEqual([true, 'because']);
  });

  it('tells nobody who was removed, be it by another listener', () => {
    const { signal, abort, told } = start();
    const removed = (): unknown => told.push('removed');
    const removedMeanwhile = (): unknown => told.push('removed meanwhile');
    signal.addEventListener('abort', removed, once);
    signal.addEventListener('abort', () => signal.removeEventListener('abort', removedMeanwhile), once);
    signal.addEventListener('abort', removedMeanwhile, once);
    signal.removeEventListener('abort', removed);
    abort('because');
    expect(told).toEqual([]);
  });

  it('tells nobody who comes too late', () => {
    const { signal, abort, told } = start();
    abort('because');
    signal.addEventListener('abort', () => told.push('late'), once);
    expect(told).toEqual([]);
  });
});

function fromController(controller: AbortController): {
  signal: CancelSignal;
  abort: (reason: unknown) => void;
} {
  return { signal: controller.signal, abort: (reason) => controller.abort(reason) };
}
