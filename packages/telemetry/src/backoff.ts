export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  /** 2 unless told. */
  readonly factor?: number;
  /** Share of the delay by which it varies to both sides, so that a fleet doesn't retry in step. 0.2 unless told. */
  readonly jitter?: number;
  readonly random?: () => number;
}

/** Growing delays between attempts: `next()` after each failure, `reset()` after a success. */
export class Backoff {
  private readonly options: BackoffOptions;
  private currentMs: number;

  constructor(options: BackoffOptions) {
    this.options = options;
    this.currentMs = options.initialMs;
  }

  next(): number {
    const { maxMs, factor = 2, jitter = 0.2, random = Math.random } = this.options;
    const delayMs = this.currentMs;
    this.currentMs = Math.min(maxMs, this.currentMs * factor);
    return Math.round(delayMs * (1 + jitter * (2 * random() - 1)));
  }

  reset(): void {
    this.currentMs = this.options.initialMs;
  }
}
