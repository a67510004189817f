import type { Clock } from '@weft/telemetry';

/**
 * As `clock.schedule`, except that what has arrived by then is heard first. Behind a long turn of the event loop (a crowd of
 * clients that left, a large configuration) timers run before sockets are read: a response that has long been there would be
 * given up as late.
 */
export function scheduleDeadline(clock: Clock, delayMs: number, task: () => void): () => void {
  let polled: NodeJS.Immediate | undefined;
  const cancel = clock.schedule(delayMs, () => {
    polled = setImmediate(task);
  });
  return () => {
    cancel();
    clearImmediate(polled);
  };
}
