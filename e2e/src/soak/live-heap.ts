/** A full collection as `--trace-gc` tells it: `[pid:isolate] 1575 ms: Mark-Compact 42.0 (47.6) -> 39.1 (46.3) MB, …`. */
const FULL_COLLECTION = /^\[\d+:(\w+)\].*?Mark-Compact.*? -> ([\d.]+) \(/gm;

/** What was alive after the last full collection of each heap, in all; 0 before the first. */
export function liveHeapMib(log: string): number {
  const alive = new Map<string, number>();
  for (const [, isolate = '', mib] of log.matchAll(FULL_COLLECTION)) alive.set(isolate, Number(mib));
  return [...alive.values()].reduce((sum, mib) => sum + mib, 0);
}
