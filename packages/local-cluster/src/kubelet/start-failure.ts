import { describeError, WeftError } from '@weft/telemetry';
import type { RestartBackoffOptions } from './restart-backoff.ts';

export interface StartFailure {
  /** Of the container's state, as Kubernetes names it. */
  readonly reason: 'ErrImagePull' | 'ImagePullBackOff' | 'CreateContainerConfigError' | 'RunContainerError';
  readonly message: string;
  /** Of the event. */
  readonly event: 'Failed' | 'BackOff';
  /** Until the next try. */
  readonly delayMs: number;
}

/** What a container refers to may come at any time. */
const CONFIG_RETRY_MS = 2_000;

/** What becomes of a container that can't be started: the error first, then that it waits before it tries again. */
export function startFailure(
  error: unknown,
  failuresBefore: number,
  { initialMs, maxMs }: RestartBackoffOptions,
): StartFailure {
  const code = WeftError.is(error) ? error.code : undefined;
  const message = describeError(error);
  const delayMs = Math.min(maxMs, initialMs * 2 ** failuresBefore);
  if (code === 'WEFT2061' || code === 'WEFT2062') {
    return failuresBefore === 0
      ? { reason: 'ErrImagePull', message, event: 'Failed', delayMs }
      : { reason: 'ImagePullBackOff', message, event: 'BackOff', delayMs };
  }
  if (code === 'WEFT2064' || code === 'WEFT2065') {
    const soonMs = Math.min(maxMs, CONFIG_RETRY_MS);
    return { reason: 'CreateContainerConfigError', message, event: 'Failed', delayMs: soonMs };
  }
  return { reason: 'RunContainerError', message, event: 'Failed', delayMs };
}
