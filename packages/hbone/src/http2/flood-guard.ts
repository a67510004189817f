import { ErrorCode } from './constants.ts';
import { Http2ConnectionError } from './protocol-error.ts';

/** How much of one kind of traffic a peer may send: `burst` at once, `perSecond` for ever. */
export interface FloodAllowance {
  readonly burst: number;
  readonly perSecond: number;
}

/** Allowances for frames that cost us more than they cost the peer. Over one: ENHANCE_YOUR_CALM. */
export interface FloodLimits {
  /** Streams reset by the peer, or by us for its fault (CVE-2023-44487 and CVE-2025-8671). */
  readonly resets: FloodAllowance;
  readonly pings: FloodAllowance;
  readonly settings: FloodAllowance;
  /** DATA frames without a byte and without END_STREAM. */
  readonly emptyData: FloodAllowance;
  /** PRIORITY, GOAWAY, unknown types, and frames for streams that are gone. */
  readonly ignored: FloodAllowance;
}

export const defaultFloodLimits: FloodLimits = {
  resets: { burst: 1_000, perSecond: 200 },
  pings: { burst: 100, perSecond: 20 },
  settings: { burst: 20, perSecond: 2 },
  emptyData: { burst: 100, perSecond: 20 },
  ignored: { burst: 2_000, perSecond: 200 },
};

export type FloodKind = keyof FloodLimits;

/** WINDOW_UPDATE frames that a peer may send before we sent it anything. */
const WINDOW_UPDATE_BURST = 10_000;
/** A peer returns credit for what it got: so many frames for each frame of ours, and one more for so many bytes. */
const WINDOW_UPDATES_PER_FRAME = 4;
const BYTES_PER_WINDOW_UPDATE = 64;
const LARGEST_WINDOW_UPDATE_ALLOWANCE = 1_000_000;

interface Bucket {
  readonly allowance: FloodAllowance;
  level: number;
  refilledAt: number;
}

/** Token buckets of one connection. */
export class FloodGuard {
  private readonly now: () => number;
  private readonly buckets: Readonly<Record<FloodKind, Bucket>>;
  private windowUpdates = WINDOW_UPDATE_BURST;

  /** `now` is a monotonic clock in milliseconds. */
  constructor(limits: FloodLimits, now: () => number) {
    this.now = now;
    const start = now();
    const bucket = (allowance: FloodAllowance): Bucket => ({
      allowance,
      level: allowance.burst,
      refilledAt: start,
    });
    this.buckets = {
      resets: bucket(limits.resets),
      pings: bucket(limits.pings),
      settings: bucket(limits.settings),
      emptyData: bucket(limits.emptyData),
      ignored: bucket(limits.ignored),
    };
  }

  /** @throws Http2ConnectionError ENHANCE_YOUR_CALM when the allowance is used up. */
  count(kind: FloodKind): void {
    const bucket = this.buckets[kind];
    if (bucket.level < 1) {
      const now = this.now();
      const { burst, perSecond } = bucket.allowance;
      bucket.level = Math.min(burst, bucket.level + ((now - bucket.refilledAt) / 1_000) * perSecond);
      bucket.refilledAt = now;
      if (bucket.level < 1) {
        throw new Http2ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, `too many ${kind}`, `${kind}-flood`);
      }
    }
    bucket.level--;
  }

  /** We sent a frame with this many bytes, for which the peer may return credit. */
  sent(bytes: number): void {
    const more = this.windowUpdates + WINDOW_UPDATES_PER_FRAME + bytes / BYTES_PER_WINDOW_UPDATE;
    this.windowUpdates = Math.min(LARGEST_WINDOW_UPDATE_ALLOWANCE, more);
  }

  windowUpdate(): void {
    if (--this.windowUpdates < 0) {
      throw new Http2ConnectionError(
        ErrorCode.ENHANCE_YOUR_CALM,
        'too many window updates',
        'window-updates-flood',
      );
    }
  }
}
