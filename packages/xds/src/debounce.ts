import type { Clock } from '@weft/telemetry';

export interface DebounceOptions {
  readonly quietMs: number;
  readonly maxMs: number;
  readonly clock: Clock;
  readonly fire: () => void;
}

/** Fires once a burst of calls has been quiet for a while, and during a long one at least every `maxMs`. */
export class Debounce {
  private readonly options: DebounceOptions;
  private burst: { readonly startedAt: number; cancel: () => void } | undefined;

  constructor(options: DebounceOptions) {
    this.options = options;
  }

  touch(): void {
    const { quietMs, maxMs, clock, fire } = this.options;
    const now = clock.now();
    const burst = (this.burst ??= { startedAt: now, cancel: () => undefined });
    burst.cancel();
    burst.cancel = clock.schedule(Math.min(quietMs, burst.startedAt + maxMs - now), () => {
      this.burst = undefined;
      fire();
    });
  }

  close(): void {
    this.burst?.cancel();
    this.burst = undefined;
  }
}
