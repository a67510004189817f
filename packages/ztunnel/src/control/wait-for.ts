import type { MeshState } from '../state/mesh-state.ts';

/** How long a connection waits for the control plane to have told what it needs. */
export const STATE_WAIT_MS = 5_000;

/** The first defined value of `read` now or after any change of the state; undefined after the deadline. */
export function waitFor<T>(
  state: MeshState,
  read: () => T | undefined,
  deadlineMs = STATE_WAIT_MS,
): Promise<T | undefined> {
  const value = read();
  if (value !== undefined) return Promise.resolve(value);
  return new Promise((resolve) => {
    const settle = (found: T | undefined): void => {
      clearTimeout(timer);
      stop();
      resolve(found);
    };
    const timer = setTimeout(() => settle(undefined), deadlineMs);
    const stop = state.onChange(() => {
      const found = read();
      if (found !== undefined) settle(found);
    });
  });
}

/** Settles with the promise or at the deadline, whichever is first: what isn't known by then is decided without. */
export function withinDeadline(done: Promise<unknown>, deadlineMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, deadlineMs);
    void done.finally(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
