export interface RestartBackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
}

export const DEFAULT_RESTART_BACKOFF: RestartBackoffOptions = { initialMs: 10_000, maxMs: 300_000 };

/**
 * When a container that ended may run again: at once the first time, then 10 s after it ended, 20 s, and so on up to
 * 5 minutes. A run of twice the longest delay starts over.
 */
export class RestartBackoff {
  private readonly options: RestartBackoffOptions;
  private nextMs = 0;

  constructor(options: RestartBackoffOptions) {
    this.options = options;
  }

  /** To be told of each end; returns the delay from then on. */
  ended(ranMs: number): number {
    const { initialMs, maxMs } = this.options;
    if (ranMs > 2 * maxMs) this.nextMs = 0;
    const delayMs = this.nextMs;
    this.nextMs = delayMs === 0 ? initialMs : Math.min(maxMs, delayMs * 2);
    return delayMs;
  }
}
