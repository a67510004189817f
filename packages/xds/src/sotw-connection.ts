import { createHash } from 'node:crypto';
import { envoy } from '@weft/api/discovery';
import { WeftError } from '@weft/telemetry';
import { DeltaDiscoveryRequest, type DeltaRequest, type Node } from './delta-message.ts';
import { PushTimes } from './push-times.ts';
import type { VersionedResource } from './resource.ts';
import type { ConnectionOptions, ConnectionStatus, ServerConnection } from './server-connection.ts';
import { StreamWriter } from './stream-writer.ts';
import { StreamSubscriptions, checkNames, type ChangedNames } from './stream-subscriptions.ts';
import type { TypeSubscription } from './type-subscription.ts';
import { contentTypeOf } from './written-resources.ts';

const { DiscoveryRequest, DiscoveryResponse } = envoy.service.discovery.v3;
type Request = envoy.service.discovery.v3.DiscoveryRequest;

/** What is to be sent of one type: everything that is followed, or only what changed of the names. */
type Due = 'all' | Set<string>;

/**
 * The server's side of one state-of-the-world stream, for clients that don't speak delta. A type that is followed as
 * a whole is always sent as a whole; of those followed by name, what changed. Work waits as names, as in
 * `DeltaConnection`.
 */
export class SotwConnection implements ServerConnection {
  private readonly options: ConnectionOptions;
  private readonly connectedAt: Date;
  private readonly subscriptions: StreamSubscriptions;
  /** Of the last response, by type. */
  private readonly nonces = new Map<TypeSubscription, string>();
  /** Of types whose removals go last: what the last response held. */
  private readonly told = new Map<TypeSubscription, readonly VersionedResource[]>();
  private due = new Map<TypeSubscription, Due>();
  private readonly times: PushTimes;
  private readonly writer: StreamWriter;

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.connectedAt = new Date(options.clock.now());
    this.subscriptions = new StreamSubscriptions(options);
    this.times = new PushTimes(options);
    this.writer = new StreamWriter(options, {
      isWaiting: () => this.due.size > 0,
      writeNext: () => this.writeDue(),
    });
  }

  get node(): Node | undefined {
    return this.subscriptions.node;
  }

  /** @throws WEFT1505 when the request breaks the protocol */
  receive(bytes: Buffer): void {
    const request = decodeRequest(bytes);
    const found = this.subscriptions.of(request);
    if (found === undefined) return;
    const { subscription, isNew } = found;
    if (!isNew) return this.update(subscription, request);
    subscription.begin(asDelta(request, new Set()));
    checkNames(subscription);
    this.send(subscription, 'all');
  }

  changed(changes: ChangedNames, changedAt: number): void {
    for (const { subscription, names } of this.subscriptions.concerned(changes))
      this.wait(subscription, names, changedAt);
    if (this.due.size > 0) this.writer.start();
  }

  private wait(subscription: TypeSubscription, names: readonly string[], changedAt: number): void {
    const { type, wildcard, names: followed } = subscription;
    if (wildcard) this.due.set(subscription, 'all');
    else if (type.inFull === true) {
      if (!names.some((name) => followed.has(name))) return;
      this.due.set(subscription, 'all');
    } else {
      const waiting = this.due.get(subscription) ?? new Set<string>();
      if (waiting === 'all') return;
      for (const name of names) if (followed.has(name)) waiting.add(name);
      if (waiting.size === 0) return;
      this.due.set(subscription, waiting);
    }
    this.times.waits(changedAt);
  }

  close(): void {
    this.writer.close();
    this.due.clear();
  }

  get status(): ConnectionStatus {
    const { options, node, connectedAt, subscriptions } = this;
    const address = options.call.getPeer();
    return { id: options.id, address, node, connectedAt, types: subscriptions.status };
  }

  private update(subscription: TypeSubscription, request: Request): void {
    const nonce = this.nonces.get(subscription) ?? '';
    // Without a nonce, though something was sent: the client has given up the type meanwhile, and begins anew.
    const isAnew = request.responseNonce === '' && nonce !== '';
    // About something older than what was sent last: its names may be outdated.
    if (!isAnew && request.responseNonce !== nonce) {
      this.options.onExpiredNonce();
      return;
    }
    const before = new Set(subscription.names);
    const { rejected } = subscription.update(asDelta(request, before), new Date(this.options.clock.now()));
    if (rejected !== undefined) this.options.onRejection(subscription.typeUrl, rejected);
    checkNames(subscription);
    if (isAnew || [...subscription.names].some((name) => !before.has(name))) this.send(subscription, 'all');
  }

  private send(subscription: TypeSubscription, what: Due): void {
    this.due.set(subscription, what);
    this.writer.start();
  }

  private async writeDue(): Promise<void> {
    const due = this.due;
    const changedAt = this.times.begin();
    this.due = new Map();
    const last: TypeSubscription[] = [];
    for (const subscription of this.subscriptions.list()) {
      const what = due.get(subscription);
      if (what === undefined) continue;
      const { type, typeUrl, wildcard } = subscription;
      const lingers =
        type.removals === 'last' && wildcard && due.size > 1 && this.goneOf(subscription).length > 0;
      const startedAt = this.options.clock.now();
      await this.respond(subscription, what, { keepGone: lingers });
      if (changedAt !== undefined) this.options.onTypePushed(typeUrl, this.options.clock.now() - startedAt);
      if (lingers) last.push(subscription);
    }
    for (const subscription of last) await this.respond(subscription, 'all', { keepGone: false });
    this.times.written(changedAt);
  }

  /** What the client was told of last, and isn't there any more. */
  private goneOf(subscription: TypeSubscription): readonly VersionedResource[] {
    const { source } = subscription.type;
    return (this.told.get(subscription) ?? []).filter(({ name }) => source.get(name) === undefined);
  }

  /** @param o.keepGone with what was there before: what refers to it is yet to change */
  private async respond(
    subscription: TypeSubscription,
    what: Due,
    o: { readonly keepGone: boolean },
  ): Promise<void> {
    if (this.writer.closed) return;
    const { typeUrl, type } = subscription;
    if (what === 'all') subscription.answeredUpTo = this.options.sequence();
    const present = this.select(subscription, what);
    // Of types followed by name, leaving something out says nothing.
    if (what !== 'all' && present.length === 0) return;
    const resources = o.keepGone ? [...present, ...this.goneOf(subscription)] : present;
    if (type.removals === 'last' && subscription.wildcard) this.told.set(subscription, resources);
    const bytes = resources.reduce((sum, resource) => sum + resource.bytes.length, 0);
    await this.writer.send(bytes, () => {
      const nonce = subscription.nextNonce(new Date(this.options.clock.now()));
      this.nonces.set(subscription, nonce);
      // A view of a pooled block: copied, as the call may keep it.
      const message = Buffer.from(
        DiscoveryResponse.encode({
          versionInfo: versionOf(what === 'all' ? resources : this.select(subscription, 'all')),
          resources: resources.map((resource) => ({
            type_url: contentTypeOf(type.source, resource),
            value: resource.bytes,
          })),
          typeUrl,
          nonce,
        }).finish(),
      );
      this.options.onPush(typeUrl, resources.length, 0, message.length);
      return message;
    });
  }

  private select(subscription: TypeSubscription, what: Due): readonly VersionedResource[] {
    const { source } = subscription.type;
    if (subscription.wildcard) return [...source.list()];
    const names = what === 'all' ? subscription.names : what;
    // What is computed for a name may be several; of anything else, aliases and groups are delta's.
    const get = source.isTransient === true ? source.resolve?.bind(source) : undefined;
    return [...names].flatMap((name) => get?.(name, this.node ?? {}) ?? source.get(name) ?? []);
  }
}

/** The same difference of names, in delta's words. */
function asDelta(request: Request, known: ReadonlySet<string>): DeltaRequest {
  const wanted = new Set(request.resourceNames);
  return DeltaDiscoveryRequest.create({
    typeUrl: request.typeUrl,
    responseNonce: request.responseNonce,
    errorDetail: request.errorDetail ?? null,
    resourceNamesSubscribe: [...wanted].filter((name) => !known.has(name)),
    resourceNamesUnsubscribe: [...known].filter((name) => !wanted.has(name)),
  });
}

/** The same on every replica for the same resources. */
function versionOf(resources: readonly VersionedResource[]): string {
  const hash = createHash('sha256');
  const lines = resources.map(({ name, version }) => `${name} ${version}\n`).sort();
  for (const line of lines) hash.update(line);
  return hash.digest('hex').slice(0, VERSION_HEX_DIGITS);
}

const VERSION_HEX_DIGITS = 16;

/** @throws WEFT1505 */
function decodeRequest(bytes: Buffer): Request {
  try {
    return DiscoveryRequest.decode(bytes);
  } catch (error) {
    throw new WeftError('WEFT1505', 'the request cannot be read', { cause: error });
  }
}
