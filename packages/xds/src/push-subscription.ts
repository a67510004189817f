import { WeftError, describeError } from '@weft/telemetry';
import protobuf from 'protobufjs/minimal.js';
import { readResource, type DeltaResponseFrame } from './delta-message.ts';
import type { NameSet } from './name-set.ts';
import type { AnySubscription, Rejection } from './subscription.ts';

export interface PushedResource {
  readonly name: string;
  readonly version: string;
  /** The message inside the Any. A view of the received message: copy what is kept. */
  readonly bytes: Uint8Array;
}

export interface ResourcePush {
  /** Of the whole push, for people: `version_info` of a config dump. */
  readonly version: string;
  readonly resources: readonly PushedResource[];
  /** Gone, or never there. A state-of-the-world server says this of types that are followed as a whole only. */
  readonly removed: readonly string[];
}

/** What the engine does with one type. */
export interface ResourceConsumer {
  readonly typeUrl: string;
  readonly follows: 'all' | 'names';
  /** Applies what can be applied; returns the rest, which becomes the NACK. */
  receive(push: ResourcePush, signal: AbortSignal): readonly Rejection[] | Promise<readonly Rejection[]>;
}

/** One type on the client, whose pushes go to a consumer as they are. Remembers the versions that were accepted. */
export class PushSubscription implements AnySubscription {
  readonly names?: NameSet;
  private readonly consumer: ResourceConsumer;
  private readonly known = new Map<string, string>();
  private hasAcknowledged = false;

  constructor(consumer: ResourceConsumer, names: NameSet | undefined) {
    this.consumer = consumer;
    if (names !== undefined) this.names = names;
  }

  get typeUrl(): string {
    return this.consumer.typeUrl;
  }

  get acknowledged(): boolean {
    return this.hasAcknowledged;
  }

  /** Of on-demand types only what is still wanted. */
  *versions(): Iterable<readonly [name: string, version: string]> {
    for (const entry of this.known) if (this.names?.has(entry[0]) ?? true) yield entry;
  }

  async receive(frame: DeltaResponseFrame, signal: AbortSignal): Promise<readonly Rejection[]> {
    const rejections: Rejection[] = [];
    const resources: PushedResource[] = [];
    for (const bytes of frame.resources) {
      const result = readAny(bytes, this.typeUrl);
      if ('reason' in result) rejections.push(result);
      else resources.push(result);
    }
    return this.hand({ version: frame.systemVersion, resources, removed: frame.removed }, rejections, signal);
  }

  /** A state-of-the-world push: of a type that is followed as a whole, what is missing is gone. */
  async receiveState(
    state: { readonly version: string; readonly resources: readonly Uint8Array[] },
    signal: AbortSignal,
  ): Promise<readonly Rejection[]> {
    const resources: PushedResource[] = [];
    const unreadable: Rejection[] = [];
    for (const bytes of state.resources) {
      try {
        resources.push({ name: firstString(bytes), version: state.version, bytes });
      } catch (error) {
        unreadable.push({ name: '(unreadable)', reason: describeError(error) });
      }
    }
    const present = new Set(resources.map((r) => r.name));
    // What can't be read may be any of them.
    const isComplete = this.names === undefined && unreadable.length === 0;
    const removed = isComplete ? [...this.known.keys()].filter((name) => !present.has(name)) : [];
    return this.hand({ version: state.version, resources, removed }, unreadable, signal);
  }

  private async hand(
    push: ResourcePush,
    unreadable: readonly Rejection[],
    signal: AbortSignal,
  ): Promise<readonly Rejection[]> {
    let refused: readonly Rejection[];
    try {
      refused = await this.consumer.receive(push, signal);
    } catch (error) {
      // Ours to fix, but better told to the control plane than repeated for ever by reconnecting.
      refused = push.resources.map(({ name }) => ({
        name,
        reason: `cannot be applied: ${describeError(error)}`,
      }));
    }
    const refusedNames = new Set(refused.map((r) => r.name));
    for (const name of push.removed) this.known.delete(name);
    for (const { name, version } of push.resources)
      if (!refusedNames.has(name)) this.known.set(name, version);
    const rejections = [...unreadable, ...refused];
    if (rejections.length === 0) this.hasAcknowledged = true;
    return rejections;
  }
}

function readAny(bytes: Uint8Array, typeUrl: string): PushedResource | Rejection {
  let name = '(unreadable)';
  try {
    const { name: resourceName, version, resource: any } = readResource(bytes);
    name = resourceName;
    if (any?.type_url !== typeUrl) throw new WeftError('WEFT1503', `holds a ${any?.type_url ?? 'nothing'}`);
    return { name, version, bytes: any.value ?? new Uint8Array() };
  } catch (error) {
    return { name, reason: describeError(error) };
  }
}

/** In each of the five resource types of ADS the name is field 1. */
function firstString(bytes: Uint8Array): string {
  const NAME = (1 << 3) | 2;
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const key = reader.uint32();
    if (key === NAME) return reader.string();
    reader.skipType(key & 7);
  }
  return '';
}
