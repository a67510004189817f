import { WeftError, describeError, type Logger } from '@weft/telemetry';
import type { Demand } from './demand.ts';
import type { NameSet } from './name-set.ts';
import { readResource, type DeltaResponseFrame } from './delta-message.ts';
import type { ResourceCodec } from './resource.ts';
import { TimeSlice } from './time-slice.ts';

export interface Rejection {
  readonly name: string;
  readonly reason: string;
}

/** A part of a push that is to be applied at once. Removals come before the upserts of the same push. */
export interface ResourceUpdate<T> {
  readonly upserted: readonly {
    readonly name: string;
    /** Other names by which it may have been asked for. */
    readonly aliases: readonly string[];
    readonly resource: T;
  }[];
  readonly removed: readonly string[];
}

/** A subscription without its resource type, as the client keeps it. */
export interface AnySubscription
  extends Pick<Subscription<unknown>, 'typeUrl' | 'versions' | 'acknowledged'> {
  receive(frame: DeltaResponseFrame, signal: AbortSignal): Promise<readonly Rejection[]>;
  /** What is asked for by name; without it, everything is. */
  readonly names?: NameSet;
  /** What is asked for only when it is needed. */
  readonly demand?: Demand | undefined;
}

/** All of a push that was refused, as one error: the text of the NACK. */
export function rejectionError(rejections: readonly Rejection[], typeUrl: string, logger: Logger): WeftError {
  const message = rejections.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
  const error = new WeftError('WEFT1502', message.slice(0, MAX_NACK_LENGTH));
  logger.error('rejected resources', { typeUrl, error: describeError(error) });
  return error;
}

interface Decoded<T> {
  readonly name: string;
  readonly version: string;
  readonly aliases: readonly string[];
  readonly resource: T;
}

const MAX_NACK_LENGTH = 16 * 1024;
const MAX_BATCH = 64;

/**
 * One resource type on the client: what is known of it, across connections. Pushes are decoded and handed over in
 * slices of a few milliseconds, so `apply` may see one push as several updates.
 */
export class Subscription<T> {
  private readonly codec: ResourceCodec<T>;
  private readonly apply: (update: ResourceUpdate<T>) => void;
  /** Versions of exactly what `apply` was given and has not lost again: rejected ones aren't here. */
  private readonly known = new Map<string, string>();
  readonly demand: Demand | undefined;
  private hasAcknowledged = false;

  /** @param demand what of the type is asked for, if not everything; it is told when a push is applied as a whole */
  constructor(codec: ResourceCodec<T>, apply: (update: ResourceUpdate<T>) => void, demand?: Demand) {
    this.codec = codec;
    this.apply = apply;
    this.demand = demand;
  }

  get typeUrl(): string {
    return this.codec.typeUrl;
  }

  /** True once a push was applied without a rejection. */
  get acknowledged(): boolean {
    return this.hasAcknowledged;
  }

  versions(): Iterable<readonly [name: string, version: string]> {
    return this.known;
  }

  /**
   * Applies what can be applied, and returns the rest. A rejected resource keeps its last good version, here and in
   * `versions()`, so a reconnect brings the new one again. Stops early when the signal aborts.
   */
  async receive(
    frame: Pick<DeltaResponseFrame, 'resources' | 'removed'>,
    signal: AbortSignal,
  ): Promise<readonly Rejection[]> {
    const rejections: Rejection[] = [];
    const answers = new Map<string, 'present' | 'absent'>();
    const slice = new TimeSlice();
    let upserted: Decoded<T>[] = [];
    let removed = frame.removed;
    // Applying is part of the slice: a batch must not be so large that it takes longer than that by itself.
    const hand = (): void => {
      if (upserted.length === 0 && removed.length === 0) return;
      try {
        this.apply({ upserted, removed });
        for (const name of removed) {
          this.known.delete(name);
          answers.set(name, 'absent');
        }
        for (const { name, version, aliases } of upserted) {
          this.known.set(name, version);
          if (this.demand !== undefined) for (const each of [name, ...aliases]) answers.set(each, 'present');
        }
      } catch (error) {
        // Ours to fix, but better told to the control plane than repeated for ever by reconnecting.
        const reason = `cannot be applied: ${describeError(error)}`;
        for (const name of removed) rejections.push({ name, reason });
        for (const { name } of upserted) rejections.push({ name, reason });
      }
      upserted = [];
      removed = [];
    };
    for (const bytes of frame.resources) {
      const result = this.decode(bytes);
      if ('reason' in result) rejections.push(result);
      else upserted.push(result);
      if (upserted.length >= MAX_BATCH) hand();
      if (slice.isOver()) {
        hand();
        await slice.next();
        if (signal.aborted) return rejections;
      }
    }
    hand();
    // Not before: a service comes ahead of its endpoints, without which it is of no use to who asked for it.
    for (const [name, state] of answers) this.demand?.told(name, state);
    if (rejections.length === 0) this.hasAcknowledged = true;
    return rejections;
  }

  private decode(bytes: Uint8Array): Decoded<T> | Rejection {
    let name = '(unreadable)';
    try {
      const { name: resourceName, version, aliases, resource: any } = readResource(bytes);
      name = resourceName;
      if (any?.type_url !== this.typeUrl)
        throw new WeftError('WEFT1503', `holds a ${any?.type_url ?? 'nothing'}`);
      return { name, version, aliases, resource: this.codec.decode(any.value ?? new Uint8Array(), name) };
    } catch (error) {
      return { name, reason: describeError(error) };
    }
  }
}
