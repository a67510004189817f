import type { Clock } from '@weft/telemetry';

export interface WatchSilenceOptions {
  readonly clock: Clock;
  /** The version of the collection as a new request sees it. */
  readonly probe: () => Promise<string>;
  /** Up to where the watch has told. */
  readonly seen: () => string | undefined;
  /** The watch is no good: it is silent, and there was something to say or nobody to ask. */
  readonly onStalled: () => void;
}

/** API servers send a bookmark about once a minute, whatever happens; two that fail to come are a reason to ask. */
const SILENCE_MS = 150_000;

/**
 * Notices a watch that is open and dead: a proxy between us and the API server that lost the other half of it, or an
 * API server that lost its own watch of the store. TCP sees nothing wrong with either.
 *
 *     listening ──silent for 150 s──▶ probing ──nothing new──▶ listening
 *         ▲                            │  └─newer version, or no answer──▶ stalled
 *         └────────anything heard──────┘
 */
export class WatchSilence {
  private readonly options: WatchSilenceOptions;
  private heardAt: number;
  private cancelTimer: () => void;
  private closed = false;

  constructor(options: WatchSilenceOptions) {
    this.options = options;
    this.heardAt = options.clock.now();
    this.cancelTimer = this.listen(SILENCE_MS);
  }

  heard(): void {
    this.heardAt = this.options.clock.now();
  }

  close(): void {
    this.closed = true;
    this.cancelTimer();
  }

  private listen(ms: number): () => void {
    return this.options.clock.schedule(ms, () => {
      const silentFor = this.options.clock.now() - this.heardAt;
      if (silentFor < SILENCE_MS) this.cancelTimer = this.listen(SILENCE_MS - silentFor);
      else void this.ask();
    });
  }

  private async ask(): Promise<void> {
    const { probe, seen, onStalled } = this.options;
    const askedAt = this.heardAt;
    const isStalled = await probe().then(
      (version) => isNewer(version, seen()),
      () => true,
    );
    if (this.closed) return;
    if (isStalled && this.heardAt === askedAt) return onStalled();
    this.cancelTimer = this.listen(SILENCE_MS);
  }
}

/** Versions count upwards within a server; where they aren't numbers, any difference counts. */
function isNewer(version: string, seen: string | undefined): boolean {
  const numbers = /^\d+$/;
  return seen !== undefined && numbers.test(version) && numbers.test(seen)
    ? BigInt(version) > BigInt(seen)
    : version !== seen;
}
