import { Session } from 'node:inspector/promises';
import { performance, type EventLoopUtilization } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';

/** How long a thread has to be idle. */
const CHECK_MS = 2_000;
/** The part of that time that it may work all the same. */
const IDLE_UTILIZATION = 0.02;
/** To collect a larger heap would hold the thread up for more than a tenth of a second: V8 does that bit by bit. */
const MAX_HEAP_BYTES = 48 * 2 ** 20;
/** Less isn't worth it: code that was optimised for what is collected has to be compiled again. */
const MIN_GROWTH_BYTES = 4 * 2 ** 20;

export interface ThreadMemory {
  /** Part of the last interval in which the thread worked. */
  readonly utilization: number;
  readonly usedBytes: number;
  /** What the heap has of the system, used or not. */
  readonly heapBytes: number;
  /** The same after the last collection; 0 before the first. */
  readonly settledBytes: number;
}

export function isWorthCollecting({
  utilization,
  usedBytes,
  heapBytes,
  settledBytes,
}: ThreadMemory): boolean {
  const isIdle = utilization < IDLE_UTILIZATION;
  return isIdle && usedBytes <= MAX_HEAP_BYTES && heapBytes - settledBytes >= MIN_GROWTH_BYTES;
}

/**
 * Collects all garbage of this thread and shrinks its young generation. V8's `gc()` does neither on Node 20, and V8 by
 * itself does it after half a minute, or never.
 */
export async function collectGarbage(): Promise<void> {
  const session = new Session();
  session.connect();
  try {
    await session.post('HeapProfiler.collectGarbage');
  } finally {
    session.disconnect();
  }
}

/**
 * Gives memory back after a burst: V8 keeps the pages that it once had for long, and a thread that has nothing to do
 * allocates too little to make it look. As long as the thread lives.
 * @param onCollected what else the process can give back
 */
export function collectWhenIdle(onCollected: () => void): void {
  let settledBytes = 0;
  let last: EventLoopUtilization = performance.eventLoopUtilization();
  const check = async (): Promise<void> => {
    const { utilization } = performance.eventLoopUtilization(last);
    last = performance.eventLoopUtilization();
    const { used_heap_size: usedBytes, total_heap_size: heapBytes } = getHeapStatistics();
    if (!isWorthCollecting({ utilization, usedBytes, heapBytes, settledBytes })) return;
    await collectGarbage();
    settledBytes = getHeapStatistics().total_heap_size;
    onCollected();
  };
  setInterval(() => void check(), CHECK_MS).unref();
}
