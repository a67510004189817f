import type grpc from '@grpc/grpc-js';
import { WeftError, type Clock, type Logger } from '@weft/telemetry';
import {
  DeltaDiscoveryRequest,
  writeDeltaResponse,
  writeResource,
  type DeltaRequest,
  type Node,
} from './delta-message.ts';
import type { ResourceSource, ServedType } from './resource-source.ts';
import type { VersionedResource } from './resource.ts';
import type { Throttle } from './throttle.ts';
import { TimeSlice } from './time-slice.ts';
import { TypeSubscription, type Demand, type TypeStatus } from './type-subscription.ts';

/** Names that changed, by source, each with the sequence number of its last change. */
export type ChangedNames = ReadonlyMap<ResourceSource, ReadonlyMap<string, number>>;
export type DeltaCall = grpc.ServerDuplexStream<Buffer, Buffer>;

export interface ConnectionStatus {
  readonly id: string;
  readonly address: string;
  /** Undefined until the first request. */
  readonly node: Node | undefined;
  readonly connectedAt: Date;
  readonly types: readonly TypeStatus[];
}

/** The server's side of one stream, whichever wire it speaks. */
export interface ServerConnection {
  readonly node: Node | undefined;
  readonly status: ConnectionStatus;
  /** @throws WEFT1505 when the request breaks the protocol */
  receive(request: Buffer): void;
  changed(changes: ChangedNames, changedAt: number): void;
  /** Nothing is written any more. The stream itself is the server's to end. */
  close(): void;
}

export interface ConnectionOptions {
  readonly id: string;
  readonly call: DeltaCall;
  /** What this client is offered, once it has said who it is. Throws WEFT1504 for a node that it may not be. */
  readonly typesFor: (node: Node) => readonly ServedType[];
  /** Says which state of the sources a push shows, for people. */
  readonly systemVersion: () => string;
  /** Of the last change of any source. */
  readonly sequence: () => number;
  readonly clock: Clock;
  /** Of all connections of a server. */
  readonly throttle: Throttle;
  readonly logger: Logger;
  readonly onPush: (typeUrl: string, resources: number, removed: number, bytes: number) => void;
  readonly onConverged: (ms: number) => void;
  /** A push began, so long after its changes were handed over. */
  readonly onQueued: (ms: number) => void;
  /** What a push had of one type was made and written. */
  readonly onTypePushed: (typeUrl: string, ms: number) => void;
  /** A message was taken by the transport. */
  readonly onSent: (ms: number) => void;
  readonly onRejection: (typeUrl: string, message: string) => void;
  /** A request about something else than what was sent last. */
  readonly onExpiredNonce: () => void;
}

/** Resources of a push in one message: small enough not to hold up the client's and our event loop. */
export const RESOURCES_PER_MESSAGE = 300;
/** The first answer is one message, but no client accepts more than 200 MiB. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/** For so long a client that doesn't read counts as one that is being written to. */
export const MAX_WRITE_SLOT_MS = 1_000;
/** Names that one on-demand client may follow. */
export const MAX_NAMES = 100_000;

/**
 * The server's side of one stream. Work waits as names, never as messages: however slow the client reads, it costs
 * one set of names and grpc's own queue of at most 16 messages, and when it reads again it gets the latest state.
 *
 *     idle ──request or change──▶ writing ──write() is false──▶ draining ──▶ writing ──nothing left──▶ idle
 *
 * Answers to requests go before pushes.
 */
export class Connection implements ServerConnection {
  node: Node | undefined;
  private readonly options: ConnectionOptions;
  private readonly connectedAt: Date;
  private types: readonly ServedType[] = [];
  private readonly subscriptions = new Map<string, TypeSubscription>();
  private readonly demands = new Map<TypeSubscription, Demand>();
  private pending = new Map<string, Set<string>>();
  private pendingSince: number | undefined;
  private queuedAt: number | undefined;
  private writing = false;
  private closed = false;

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.connectedAt = new Date(options.clock.now());
  }

  receive(bytes: Buffer): void {
    const request = decodeRequest(bytes);
    if (this.node === undefined) {
      if (request.node === null || request.node === undefined) {
        throw new WeftError('WEFT1505', 'the first request carries no node');
      }
      this.types = this.options.typesFor(request.node);
      this.node = request.node;
    }
    const { typeUrl } = request;
    const known = this.subscriptions.get(typeUrl);
    if (known !== undefined) {
      const { demand, rejected } = known.update(request, new Date(this.options.clock.now()));
      if (rejected !== undefined) this.options.onRejection(typeUrl, rejected);
      this.demand(known, demand);
      return;
    }
    const type = this.types.find((t) => t.source.typeUrl === typeUrl);
    if (type === undefined) {
      this.options.logger.warn('request for a type that is not served', { node: this.node.id, typeUrl });
      return;
    }
    const subscription = new TypeSubscription(type, this.options.id, this.node);
    this.subscriptions.set(typeUrl, subscription);
    this.demand(subscription, subscription.begin(request));
  }

  /** Merged with what is still waiting, without what the first answer has shown already. */
  changed(changes: ChangedNames, changedAt: number): void {
    for (const [source, names] of changes) {
      const subscription = this.subscriptions.get(source.typeUrl);
      // Another client's source of the same type is none of ours.
      if (subscription?.type.source !== source) continue;
      const changed = [...names].flatMap(([name, sequence]) =>
        sequence > subscription.answeredUpTo ? [name] : [],
      );
      this.wait(source.typeUrl, changed, changedAt);
      for (const completion of completionsOf(source, this.types)) {
        const followed = this.subscriptions.get(completion.source.typeUrl)?.names;
        const present = changed.filter((name) => followed?.has(name) && source.get(name) !== undefined);
        this.wait(completion.source.typeUrl, present, changedAt);
      }
    }
    this.startWriting();
  }

  private wait(typeUrl: string, names: readonly string[], changedAt: number): void {
    if (names.length === 0) return;
    const waiting = this.pending.get(typeUrl) ?? new Set();
    for (const name of names) waiting.add(name);
    this.pending.set(typeUrl, waiting);
    this.pendingSince ??= changedAt;
    this.queuedAt ??= this.options.clock.now();
  }

  /** Nothing is written any more. The stream itself is the server's to end. */
  close(): void {
    this.closed = true;
    this.demands.clear();
    this.pending.clear();
  }

  get status(): ConnectionStatus {
    const { options, node, connectedAt } = this;
    const types = this.types
      .map((type) => type.source.typeUrl)
      .flatMap((url) => this.subscriptions.get(url)?.status ?? []);
    return { id: options.id, address: options.call.getPeer(), node, connectedAt, types };
  }

  private demand(subscription: TypeSubscription, demand: Demand | undefined): void {
    if (subscription.names.size > MAX_NAMES) {
      throw new WeftError('WEFT1505', `more than ${MAX_NAMES} names of ${subscription.typeUrl}`);
    }
    if (demand === undefined) return;
    this.demands.set(subscription, mergeDemands(this.demands.get(subscription), demand));
    this.startWriting();
  }

  private startWriting(): void {
    if (!this.writing && !this.closed) void this.write();
  }

  private async write(): Promise<void> {
    this.writing = true;
    try {
      for (;;) {
        if (this.demands.size === 0 && this.pending.size === 0) return;
        await inTurn(this.options, () => this.writeNext());
      }
    } finally {
      this.writing = false;
    }
  }

  private async writeNext(): Promise<void> {
    const [next] = this.demands;
    if (next !== undefined) {
      this.demands.delete(next[0]);
      return this.answer(...next);
    }
    const changes = this.pending;
    this.pending = new Map();
    const since = this.pendingSince;
    this.pendingSince = undefined;
    if (this.queuedAt !== undefined) this.options.onQueued(this.options.clock.now() - this.queuedAt);
    this.queuedAt = undefined;
    await this.push(changes);
    if (since !== undefined && !this.closed) this.options.onConverged(this.options.clock.now() - since);
  }

  /**
   * A request is always answered, even with nothing, as the client waits for it. The first answer is a single
   * message: clients take its acknowledgement for having everything, so half of it would make a proxy ready that
   * doesn't know half of the policies.
   */
  private async answer(subscription: TypeSubscription, demand: Demand): Promise<void> {
    const { type, typeUrl, wildcard } = subscription;
    const { source } = type;
    if (demand.kind === 'initial') subscription.answeredUpTo = this.options.sequence();
    const knownVersions = new Map(demand.kind === 'initial' ? Object.entries(demand.knownVersions) : []);
    // What the client knows doesn't complete what it has just been sent.
    const isKnown = ({ name, version }: VersionedResource): boolean =>
      type.completes === undefined && knownVersions.get(name) === version;
    const message = this.message(subscription, { maxResources: Number.POSITIVE_INFINITY });
    if (demand.kind === 'initial' && wildcard) {
      for (const resource of source.list()) {
        if (!isKnown(resource)) await message.add(resource);
        if (this.closed) return;
      }
    } else {
      const found = new Map<string, VersionedResource>();
      for (const name of demand.kind === 'names' ? demand.names : subscription.names) {
        const resources = this.resolve(type, name);
        if (resources.length === 0 && !subscription.implicit.has(name)) message.remove(name);
        for (const resource of resources) found.set(resource.name, resource);
      }
      for (const resource of found.values()) {
        // From now on its updates follow, whatever name it was asked for by.
        if (!wildcard) subscription.names.add(resource.name);
        if (!isKnown(resource)) await message.add(resource);
        if (this.closed) return;
      }
    }
    for (const name of knownVersions.keys()) if (source.get(name) === undefined) message.remove(name);
    await message.flush({ evenIfEmpty: true });
    this.options.logger.debug('answered request', { node: this.node?.id, typeUrl });
  }

  private async push(changes: ReadonlyMap<string, ReadonlySet<string>>): Promise<void> {
    const last: (() => Promise<void>)[] = [];
    for (const { source, removals = 'first' } of this.types) {
      const names = changes.get(source.typeUrl);
      const subscription = this.subscriptions.get(source.typeUrl);
      if (names === undefined || subscription === undefined) continue;
      const startedAt = this.options.clock.now();
      const upserts: VersionedResource[] = [];
      const removed: string[] = [];
      for (const name of names) {
        const resource = source.get(name);
        if (resource !== undefined && follows(subscription, resource, source)) upserts.push(resource);
        else if (resource === undefined && (subscription.wildcard || subscription.names.has(name)))
          removed.push(name);
      }
      const message = this.message(subscription, { maxResources: RESOURCES_PER_MESSAGE });
      const remove = async (): Promise<void> => {
        const tail = this.message(subscription, { maxResources: RESOURCES_PER_MESSAGE });
        // Since then the resource may have come back.
        for (const name of removed) if (source.get(name) === undefined) tail.remove(name);
        await tail.flush();
      };
      if (removals === 'last') last.push(remove);
      else for (const name of removed) message.remove(name);
      for (const resource of upserts) {
        await message.add(resource);
        if (this.closed) return;
      }
      await message.flush();
      this.options.onTypePushed(source.typeUrl, this.options.clock.now() - startedAt);
    }
    for (const remove of last) await remove();
  }

  private resolve(type: ServedType, name: string): readonly VersionedResource[] {
    if (type.source.resolve !== undefined) return type.source.resolve(name, this.node ?? {});
    const resource = type.source.get(name);
    return resource === undefined ? [] : [resource];
  }

  /** Collects resources and sends them when a message is full; removed names go with the first. */
  private message(subscription: TypeSubscription, { maxResources }: { readonly maxResources: number }) {
    const { type, typeUrl, wildcard } = subscription;
    const { systemVersion, clock, onPush } = this.options;
    const slice = new TimeSlice();
    let resources: Uint8Array[] = [];
    let removed: string[] = [];
    let bytes = 0;
    const sendMessage = async (): Promise<void> => {
      if (this.closed) return;
      const nonce = subscription.nextNonce(new Date(clock.now()));
      const encoded = writeDeltaResponse({
        typeUrl,
        nonce,
        systemVersion: systemVersion(),
        resources,
        removed,
      });
      onPush(typeUrl, resources.length, removed.length, encoded.length);
      [resources, removed, bytes] = [[], [], 0];
      await send(this.options, encoded);
    };
    return {
      remove: (name: string): void => void removed.push(name),
      add: async (resource: VersionedResource): Promise<void> => {
        const encoded = writeResource(type.source.contentTypeUrl ?? typeUrl, resource, !wildcard);
        resources.push(encoded);
        bytes += encoded.length;
        if (resources.length >= maxResources || bytes >= MAX_MESSAGE_BYTES) await sendMessage();
        if (slice.isOver()) await slice.next();
      },
      flush: async (o: { readonly evenIfEmpty?: boolean } = {}): Promise<void> => {
        if (resources.length > 0 || removed.length > 0 || o.evenIfEmpty === true) await sendMessage();
      },
    };
  }
}

/** The types whose resources follow those of a source. */
export function completionsOf(source: ResourceSource, types: readonly ServedType[]): readonly ServedType[] {
  return types.filter(({ completes }) => completes === source.typeUrl);
}

/** What waits for one type is answered at once; a first answer covers all names. */
function mergeDemands(waiting: Demand | undefined, added: Demand): Demand {
  if (waiting === undefined || added.kind === 'initial') return added;
  if (waiting.kind === 'initial') return waiting;
  return { kind: 'names', names: [...new Set([...waiting.names, ...added.names])] };
}

function follows(
  subscription: TypeSubscription,
  { name, aliases = [] }: VersionedResource,
  source: ResourceSource,
): boolean {
  if (subscription.wildcard || subscription.names.has(name)) return true;
  // Asked for by an alias before it existed, or part of something that is followed.
  const others = [...aliases, ...(source.groups?.(name) ?? [])];
  if (!others.some((other) => subscription.names.has(other))) return false;
  subscription.names.add(name);
  return true;
}

/**
 * Few at a time, so that thousands who reconnect together don't all have their first answer in memory. Whoever reads
 * too slowly keeps its message, but not its place.
 */
export async function inTurn(
  { throttle, clock }: Pick<ConnectionOptions, 'throttle' | 'clock'>,
  work: () => Promise<void>,
): Promise<void> {
  const release = await throttle.acquire();
  const cancel = clock.schedule(MAX_WRITE_SLOT_MS, release);
  try {
    await work();
  } finally {
    cancel();
    release();
  }
}

/** Resolves when the transport has room again. */
export async function send(
  { call, clock, onSent }: Pick<ConnectionOptions, 'call' | 'clock' | 'onSent'>,
  message: Buffer,
): Promise<void> {
  const startedAt = clock.now();
  if (!call.write(message)) await drained(call);
  onSent(clock.now() - startedAt);
}

/** grpc-js accepts messages without limit after `write()` said false, so the writer has to wait by itself. */
function drained(call: DeltaCall): Promise<void> {
  return new Promise((resolve) => {
    const events = ['drain', 'close', 'cancelled', 'error', 'finish'];
    const done = (): void => {
      for (const event of events) call.off(event, done);
      resolve();
    };
    for (const event of events) call.on(event, done);
    if (call.cancelled || call.destroyed) done();
  });
}

/** @throws WEFT1505 */
function decodeRequest(bytes: Buffer): DeltaRequest {
  try {
    return DeltaDiscoveryRequest.decode(bytes);
  } catch (error) {
    throw new WeftError('WEFT1505', 'the request cannot be read', { cause: error });
  }
}
