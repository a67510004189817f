import { Session } from 'node:inspector/promises';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapSnapshot } from 'node:v8';

export interface ProfileOptions {
  readonly durationMs: number;
  readonly samplesPerSecond: number;
}

/** Where this thread spends its time: the text of a `.cpuprofile`, which Chrome's DevTools and speedscope open. */
export async function cpuProfile({ durationMs, samplesPerSecond }: ProfileOptions): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: Math.round(1e6 / samplesPerSecond) });
    await session.post('Profiler.start');
    await sleep(durationMs);
    const { profile } = await session.post('Profiler.stop');
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}

/** What holds this thread's memory: a `.heapsnapshot`. The thread stands still while it is taken. */
export function heapSnapshot(): Readable {
  return getHeapSnapshot();
}
