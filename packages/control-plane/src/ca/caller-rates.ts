import type { Clock } from '@weft/telemetry';

/** Certificates that one caller may ask for at once; a node proxy asks for each identity on its node. */
export const CALLER_BURST = 500;
export const CALLER_RATE_PER_SECOND = 50;
/** Callers that are remembered. */
const MAX_CALLERS = 10_000;

/** How much each caller may still ask for: a bucket that fills again with time. */
export class CallerRates {
  private readonly clock: Clock;
  private readonly buckets = new Map<string, { readonly tokens: number; readonly at: number }>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** False when the caller has to wait. */
  take(caller: string): boolean {
    const now = this.clock.now();
    const bucket = this.buckets.get(caller) ?? { tokens: CALLER_BURST, at: now };
    const filled = bucket.tokens + ((now - bucket.at) / 1_000) * CALLER_RATE_PER_SECOND;
    const tokens = Math.min(CALLER_BURST, filled);
    // Moved to the end, so that the first is who hasn't asked for the longest.
    this.buckets.delete(caller);
    this.buckets.set(caller, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now });
    if (this.buckets.size > MAX_CALLERS) {
      const [longestAgo] = this.buckets.keys();
      if (longestAgo !== undefined) this.buckets.delete(longestAgo);
    }
    return tokens >= 1;
  }
}
