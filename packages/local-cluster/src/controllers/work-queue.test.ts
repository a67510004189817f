import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { silentLogger } from '@weft/telemetry';
import { RETRY_MIN_MS, WORKERS, WorkQueue } from './work-queue.ts';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** Work that ends when the test says so. */
function manualWork() {
  const running = new Map<string, (delayMs?: number) => void>();
  const failing = new Map<string, (error: Error) => void>();
  const done: string[] = [];
  const work = (key: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      running.set(key, (delayMs) => {
        running.delete(key);
        done.push(key);
        resolve(delayMs);
      });
      failing.set(key, reject);
    });
  return { work, running, failing, done };
}

describe('work queue', () => {
  it('works on a key once more, never twice at a time, when it is added meanwhile', async () => {
    const { work, running, done } = manualWork();
    const queue = new WorkQueue(work, silentLogger);
    queue.add('a');
    queue.add('a');
    queue.add('a');
    running.get('a')?.();
    await jest.advanceTimersByTimeAsync(0);
    running.get('a')?.();
    await jest.advanceTimersByTimeAsync(0);
    expect(done).toEqual(['a', 'a']);
    expect(running.size).toBe(0);
  });

  it('works on a bounded number of keys at a time', () => {
    const { work, running } = manualWork();
    const queue = new WorkQueue(work, silentLogger);
    for (let i = 0; i < WORKERS + 3; i++) queue.add(`key${i}`);
    expect(running.size).toBe(WORKERS);
  });

  it('tries again after a failure, later each time', async () => {
    let calls = 0;
    const queue = new WorkQueue(() => {
      calls++;
      return Promise.reject(new Error('no'));
    }, silentLogger);
    queue.add('a');
    await jest.advanceTimersByTimeAsync(0);
    expect(calls).toBe(1);
    await jest.advanceTimersByTimeAsync(RETRY_MIN_MS);
    expect(calls).toBe(2);
    await jest.advanceTimersByTimeAsync(RETRY_MIN_MS);
    expect(calls).toBe(2);
    await jest.advanceTimersByTimeAsync(RETRY_MIN_MS);
    expect(calls).toBe(3);
    queue.close();
  });

  it('comes back to a key at the earliest time asked for', async () => {
    const { work, running, done } = manualWork();
    const queue = new WorkQueue(work, silentLogger);
    queue.add('a');
    running.get('a')?.(5_000);
    await jest.advanceTimersByTimeAsync(0);
    queue.add('a');
    running.get('a')?.(1_000);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(running.has('a')).toBe(true);
    running.get('a')?.();
    await jest.advanceTimersByTimeAsync(10_000);
    expect(done).toHaveLength(3);
    queue.close();
  });
});
