import { WeftError } from '@weft/telemetry';
import {
  DeltaDiscoveryRequest,
  writeDeltaResponse,
  writeResource,
  type DeltaRequest,
  type DeltaResponseHead,
  type Node,
} from './delta-message.ts';
import { PushTimes } from './push-times.ts';
import type { ResourceSource, ServedType } from './resource-source.ts';
import type { VersionedResource } from './resource.ts';
import type { ConnectionOptions, ConnectionStatus, ServerConnection } from './server-connection.ts';
import { StreamWriter } from './stream-writer.ts';
import { StreamSubscriptions, checkNames, type ChangedNames } from './stream-subscriptions.ts';
import { TimeSlice } from './time-slice.ts';
import type { Demand, TypeSubscription } from './type-subscription.ts';
import { MAX_MESSAGE_BYTES, contentTypeOf } from './written-resources.ts';

/** Resources of a push in one message: small enough not to hold up the client's and our event loop. */
export const RESOURCES_PER_MESSAGE = 300;

/**
 * The server's side of one stream. Work waits as names, never as messages: however slow the client reads, it costs
 * one set of names and grpc's own queue of at most 16 messages, and when it reads again it gets the latest state.
 *
 *     idle ──request or change──▶ writing ──write() is false──▶ draining ──▶ writing ──nothing left──▶ idle
 *
 * Answers to requests go before pushes.
 */
export class DeltaConnection implements ServerConnection {
  private readonly options: ConnectionOptions;
  private readonly connectedAt: Date;
  private readonly subscriptions: StreamSubscriptions;
  private readonly demands = new Map<TypeSubscription, Demand>();
  private pending = new Map<TypeSubscription, Set<string>>();
  private readonly times: PushTimes;
  private readonly writer: StreamWriter;

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.connectedAt = new Date(options.clock.now());
    this.subscriptions = new StreamSubscriptions(options);
    this.times = new PushTimes(options);
    this.writer = new StreamWriter(options, {
      isWaiting: () => this.demands.size > 0 || this.pending.size > 0,
      writeNext: () => this.writeNext(),
    });
  }

  get node(): Node | undefined {
    return this.subscriptions.node;
  }

  receive(bytes: Buffer): void {
    const request = decodeRequest(bytes);
    const found = this.subscriptions.of(request);
    if (found === undefined) return;
    const { subscription, isNew } = found;
    if (isNew) return this.demand(subscription, subscription.begin(request));
    const { demand, rejected } = subscription.update(request, new Date(this.options.clock.now()));
    if (rejected !== undefined) this.options.onRejection(subscription.typeUrl, rejected);
    this.demand(subscription, demand);
  }

  /** Merged with what is still waiting. */
  changed(changes: ChangedNames, changedAt: number): void {
    for (const { subscription, names } of this.subscriptions.concerned(changes))
      this.wait(subscription, names, changedAt);
    this.writer.start();
  }

  private wait(subscription: TypeSubscription, names: readonly string[], changedAt: number): void {
    if (names.length === 0) return;
    const waiting = this.pending.get(subscription) ?? new Set();
    for (const name of names) waiting.add(name);
    this.pending.set(subscription, waiting);
    this.times.waits(changedAt);
  }

  /** Nothing is written any more. The stream itself is the server's to end. */
  close(): void {
    this.writer.close();
    this.demands.clear();
    this.pending.clear();
  }

  get status(): ConnectionStatus {
    const { options, node, connectedAt, subscriptions } = this;
    const address = options.call.getPeer();
    return { id: options.id, address, node, connectedAt, types: subscriptions.status };
  }

  private demand(subscription: TypeSubscription, demand: Demand | undefined): void {
    checkNames(subscription);
    if (demand === undefined) return;
    this.demands.set(subscription, mergeDemands(this.demands.get(subscription), demand));
    this.writer.start();
  }

  private async writeNext(): Promise<void> {
    const [next] = this.demands;
    if (next !== undefined) {
      this.demands.delete(next[0]);
      return this.answer(...next);
    }
    const changes = this.pending;
    this.pending = new Map();
    const changedAt = this.times.begin();
    await this.push(changes);
    if (!this.writer.closed) this.times.written(changedAt);
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
    if (demand.kind === 'initial' && wildcard && knownVersions.size === 0) {
      for (const part of await this.options.written.all(source)) {
        await this.send(subscription, part, (head) => part.message(head));
      }
      return;
    }
    // What the client knows doesn't complete what it has just been sent.
    const isKnown = ({ name, version }: VersionedResource): boolean =>
      type.completes === undefined && knownVersions.get(name) === version;
    const message = this.message(subscription, { maxResources: Number.POSITIVE_INFINITY });
    if (demand.kind === 'initial' && wildcard) {
      for (const resource of source.list()) {
        if (!isKnown(resource)) await message.add(resource);
        if (this.writer.closed) return;
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
        if (this.writer.closed) return;
      }
    }
    for (const name of knownVersions.keys()) if (source.get(name) === undefined) message.remove(name);
    await message.flush({ evenIfEmpty: true });
    this.options.logger.debug('answered request', { node: this.node?.id, typeUrl });
  }

  private async push(changes: ReadonlyMap<TypeSubscription, ReadonlySet<string>>): Promise<void> {
    const last: (() => Promise<void>)[] = [];
    for (const subscription of this.subscriptions.list()) {
      const names = changes.get(subscription);
      if (names === undefined) continue;
      const { source, removals = 'first' } = subscription.type;
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
        if (this.writer.closed) return;
      }
      await message.flush();
      this.options.onTypePushed(source.typeUrl, this.options.clock.now() - startedAt);
    }
    for (const remove of last) await remove();
  }

  private async send(
    subscription: TypeSubscription,
    o: { readonly resources: number; readonly removed?: number; readonly bytes: number },
    make: (head: Omit<DeltaResponseHead, 'removed'>) => Buffer,
  ): Promise<void> {
    const { typeUrl } = subscription;
    const { clock, systemVersion, onPush } = this.options;
    await this.writer.send(o.bytes, () => {
      const nonce = subscription.nextNonce(new Date(clock.now()));
      const message = make({ typeUrl, nonce, systemVersion: systemVersion() });
      onPush(typeUrl, o.resources, o.removed ?? 0, message.length);
      return message;
    });
  }

  private resolve(type: ServedType, name: string): readonly VersionedResource[] {
    if (type.source.resolve !== undefined) return type.source.resolve(name, this.node ?? {});
    const resource = type.source.get(name);
    return resource === undefined ? [] : [resource];
  }

  /** Collects resources and sends them when a message is full; removed names go with the first. */
  private message(subscription: TypeSubscription, { maxResources }: { readonly maxResources: number }) {
    const { type, wildcard } = subscription;
    const { source } = type;
    const slice = new TimeSlice();
    let resources: Uint8Array[] = [];
    let removed: string[] = [];
    let bytes = 0;
    const sendMessage = async (): Promise<void> => {
      const [written, gone] = [resources, removed];
      const size = { resources: resources.length, removed: removed.length, bytes };
      [resources, removed, bytes] = [[], [], 0];
      await this.send(subscription, size, (head) => writeDeltaResponse({ ...head, removed: gone }, written));
    };
    return {
      remove: (name: string): void => void removed.push(name),
      add: async (resource: VersionedResource): Promise<void> => {
        const written = wildcard
          ? this.options.written.one(source, resource)
          : writeResource(contentTypeOf(source, resource), resource, true);
        resources.push(written);
        bytes += written.length;
        if (resources.length >= maxResources || bytes >= MAX_MESSAGE_BYTES) await sendMessage();
        if (slice.isOver()) await slice.next();
      },
      flush: async (o: { readonly evenIfEmpty?: boolean } = {}): Promise<void> => {
        if (resources.length > 0 || removed.length > 0 || o.evenIfEmpty === true) await sendMessage();
      },
    };
  }
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

/** @throws WEFT1505 */
function decodeRequest(bytes: Buffer): DeltaRequest {
  try {
    return DeltaDiscoveryRequest.decode(bytes);
  } catch (error) {
    throw new WeftError('WEFT1505', 'the request cannot be read', { cause: error });
  }
}
