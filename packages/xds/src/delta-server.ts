import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { PeerCertificate } from 'node:tls';
import grpc from '@grpc/grpc-js';
import { ADS_METHOD, DELTA_ADS_METHOD } from '@weft/api';
import {
  WeftError,
  describeError,
  silentLogger,
  systemClock,
  type Clock,
  type Logger,
} from '@weft/telemetry';
import { DeltaConnection } from './delta-connection.ts';
import { Debounce } from './debounce.ts';
import type { Node } from './delta-message.ts';
import type { ResourceSource, ServedType } from './resource-source.ts';
import type { ConnectionStatus, ServerConnection } from './server-connection.ts';
import { SotwConnection } from './sotw-connection.ts';
import type { DeltaCall, MakeMessage } from './stream-writer.ts';
import { ArrivalRate, Throttle } from './throttle.ts';
import { SourceSubscriptions } from './source-subscriptions.ts';
import { WrittenResources } from './written-resources.ts';

/** What a client shows of itself before its first request. */
export interface StreamPeer {
  readonly metadata: grpc.Metadata;
  readonly address: string;
  /** Only over TLS, and only if the client has one. */
  readonly certificate: PeerCertificate | undefined;
}

/** Counts, for metrics. */
export interface DeltaServerObserver {
  connected?(connections: number): void;
  disconnected?(connections: number): void;
  /** A stream that was refused or broken off, by error code. */
  refused?(code: string): void;
  pushed?(typeUrl: string, resources: number, removed: number, bytes: number): void;
  rejected?(typeUrl: string): void;
  /** A state-of-the-world request about an older response than the last one. */
  expiredNonce?(): void;
  /** A burst of changes is handed to the connections, so long after its first. */
  debounced?(ms: number): void;
  /** A connection began to send a push, so long after it was handed over. */
  queued?(ms: number): void;
  /** What a push had of one type was made and written. */
  typePushed?(typeUrl: string, ms: number): void;
  /** A message was taken by the transport, which waits for slow clients. */
  sent?(ms: number): void;
  /** A client has not read a message for half a minute. */
  writeTimedOut?(): void;
  /** A stream was ended by a fault of ours. */
  failed?(): void;
  /** A connection was sent everything of a push; `ms` since the first of its changes. */
  converged?(ms: number): void;
}

export interface DeltaServerOptions<I> {
  /**
   * What is offered, in the order in which a push sends it: the same to every client, or chosen for each when it has
   * said who it is. Sources are followed as long as a client uses them, so those of clients with the same
   * configuration should be the same objects. Throws to refuse the node.
   */
  readonly types: readonly ServedType[] | ((node: Node, identity: I) => readonly ServedType[]);
  /** Who it is. Throws to refuse; the client learns nothing but that. */
  readonly authenticate: (peer: StreamPeer) => Promise<I>;
  /** Throws when this identity may not call itself that node. */
  readonly authorize?: (identity: I, node: Node) => void;
  readonly debounceMs?: number;
  readonly debounceMaxMs?: number;
  readonly maxConnections?: number;
  /** Answers and pushes that are written at once. */
  readonly pushConcurrency?: number;
  /** New streams a second; whoever would wait for more than a second is told to try again. */
  readonly connectionsPerSecond?: number;
  readonly observer?: DeltaServerObserver;
  readonly logger?: Logger;
  readonly clock?: Clock;
}

const DEBOUNCE_MS = 100;
const DEBOUNCE_MAX_MS = 10_000;
export const MAX_CONNECTIONS = 10_000;
/** As istiod has it: pushes at once, and new streams a second. */
export const DEFAULT_THROTTLE = Math.min(15 + 5 * availableParallelism(), 100);
/** Messages made for clients that have yet to read them, of all connections: about twice as much memory. */
export const MAX_UNREAD_BYTES = 128 * 1024 * 1024;
const MAX_ARRIVAL_WAIT_MS = 1_000;
/** A client of 10,000 resources lists about 1 MiB of versions when it reconnects. */
export const MAX_REQUEST_BYTES = 32 * 1024 * 1024;

/** For the `grpc.Server` that this service is added to. */
export const deltaServerChannelOptions = {
  'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
} as const satisfies grpc.ServerOptions;

/**
 * The control plane's side of ADS, delta and state of the world, for any number of resource types. Changes of all sources are gathered until
 * they pause for 100 ms, then every connection gets what it follows of them, in the order of the types.
 */
export class DeltaServer<I> {
  private readonly options: DeltaServerOptions<I>;
  private readonly clock: Clock;
  private readonly logger: Logger;
  private readonly debounce: Debounce;
  private readonly throttle: Throttle;
  private readonly unread = new Throttle(MAX_UNREAD_BYTES);
  private readonly written: WrittenResources;
  private readonly arrivals: ArrivalRate;
  private readonly sources: SourceSubscriptions;
  private readonly open = new Map<ServerConnection, DeltaCall>();
  private changes = new Map<ResourceSource, Map<string, number>>();
  private sequence = 0;
  /** The first of `changes`. */
  private changedAt: number | undefined;
  // Distinguishes the nonces of this process from those of the one before.
  private readonly instance = randomBytes(6).toString('hex');
  private connectionCount = 0;
  private pushCount = 0;

  constructor(options: DeltaServerOptions<I>) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.logger = options.logger ?? silentLogger;
    const { pushConcurrency = DEFAULT_THROTTLE, connectionsPerSecond = DEFAULT_THROTTLE } = options;
    this.throttle = new Throttle(pushConcurrency);
    this.written = new WrittenResources(this.clock);
    this.arrivals = new ArrivalRate({
      perSecond: connectionsPerSecond,
      maxWaitMs: MAX_ARRIVAL_WAIT_MS,
      clock: this.clock,
    });
    this.debounce = new Debounce({
      quietMs: options.debounceMs ?? DEBOUNCE_MS,
      maxMs: options.debounceMaxMs ?? DEBOUNCE_MAX_MS,
      clock: this.clock,
      fire: () => this.pushChanges(),
    });
    this.sources = new SourceSubscriptions((source, { upserted, removed }) => {
      const names = this.changes.get(source) ?? new Map();
      const sequence = ++this.sequence;
      this.written.changed(source);
      for (const { name } of upserted) names.set(name, sequence);
      for (const name of removed) names.set(name, sequence);
      this.changes.set(source, names);
      this.changedAt ??= this.clock.now();
      this.debounce.touch();
    });
    // Sources that are every client's are followed from the beginning.
    if (typeof options.types !== 'function') this.sources.use(options.types);
  }

  addTo(server: grpc.Server): void {
    server.addService(
      { deltaAggregatedResources: method(DELTA_ADS_METHOD), streamAggregatedResources: method(ADS_METHOD) },
      {
        deltaAggregatedResources: (call: DeltaCall) => void this.serve(call, DeltaConnection),
        streamAggregatedResources: (call: DeltaCall) => void this.serve(call, SotwConnection),
      },
    );
  }

  /** For `/debug/syncz`. */
  connections(): readonly ConnectionStatus[] {
    return [...this.open.keys()].map((connection) => connection.status);
  }

  /** Ends every stream; clients reconnect at once, to another replica if there is one. */
  close(): void {
    this.debounce.close();
    this.sources.close();
    this.written.close();
    for (const [connection, call] of this.open) {
      connection.close();
      call.end();
    }
    this.open.clear();
  }

  private pushChanges(): void {
    const { changes, changedAt = this.clock.now() } = this;
    this.changes = new Map();
    this.changedAt = undefined;
    this.pushCount++;
    this.written.pushing();
    this.options.observer?.debounced?.(this.clock.now() - changedAt);
    for (const connection of this.open.keys()) connection.changed(changes, changedAt);
  }

  private async serve(call: DeltaCall, wire: typeof DeltaConnection | typeof SotwConnection): Promise<void> {
    // Without a listener an error of the transport would end the process.
    call.on('error', () => undefined);
    const { authenticate, maxConnections = MAX_CONNECTIONS } = this.options;
    let identity: I;
    try {
      if (this.open.size >= maxConnections)
        throw new WeftError('WEFT1507', `${maxConnections} connections are open`);
      const waitMs = this.arrivals.arrive();
      if (waitMs === undefined) throw new WeftError('WEFT1508', 'try again');
      if (waitMs > 0) await this.clock.sleep(waitMs);
      const certificate = call.getAuthContext()?.sslPeerCertificate;
      identity = await authenticate({ metadata: call.metadata, address: call.getPeer(), certificate });
    } catch (error) {
      const isBusy = WeftError.is(error) && (error.code === 'WEFT1507' || error.code === 'WEFT1508');
      this.refuse(
        call,
        isBusy ? error : new WeftError('WEFT1504', 'authentication failure', { cause: error }),
      );
      return;
    }
    if (call.cancelled) return;
    this.connect(call, identity, wire);
  }

  private connect(call: DeltaCall, identity: I, Wire: typeof DeltaConnection | typeof SotwConnection): void {
    const { types, authorize, observer } = this.options;
    let release = (): void => undefined;
    const connection = new Wire({
      id: `${this.instance}-${++this.connectionCount}`,
      call,
      typesFor: (node) => {
        authorizeNode(authorize, identity, node);
        const offered = typeof types === 'function' ? types(node, identity) : types;
        release = this.sources.use(offered);
        return offered;
      },
      systemVersion: () => `${this.instance}/${this.pushCount}`,
      sequence: () => this.sequence,
      clock: this.clock,
      throttle: this.throttle,
      unread: this.unread,
      written: this.written,
      logger: this.logger,
      onPush: (...counts) => observer?.pushed?.(...counts),
      onConverged: (ms) => observer?.converged?.(ms),
      onQueued: (ms) => observer?.queued?.(ms),
      onTypePushed: (typeUrl, ms) => observer?.typePushed?.(typeUrl, ms),
      onSent: (ms) => observer?.sent?.(ms),
      onWriteTimeout: () => observer?.writeTimedOut?.(),
      onFailure: (error) => {
        observer?.failed?.();
        disconnect();
        this.refuse(call, new WeftError('WEFT1509', describeError(error), { cause: error }));
      },
      onExpiredNonce: () => observer?.expiredNonce?.(),
      onRejection: (typeUrl, message) => {
        observer?.rejected?.(typeUrl);
        const error = new WeftError('WEFT1506', message);
        this.logger.warn('proxy rejected configuration', {
          node: connection.node?.id,
          typeUrl,
          error: describeError(error),
        });
      },
    });
    const disconnect = (): void => {
      connection.close();
      release();
      if (this.open.delete(connection)) observer?.disconnected?.(this.open.size);
    };
    this.open.set(connection, call);
    observer?.connected?.(this.open.size);
    call.on('cancelled', disconnect);
    call.on('close', disconnect);
    call.on('end', () => {
      disconnect();
      call.end();
    });
    call.on('data', (bytes: Buffer) => {
      if (!this.open.has(connection)) return;
      try {
        connection.receive(bytes);
      } catch (error) {
        disconnect();
        this.refuse(
          call,
          WeftError.is(error) ? error : new WeftError('WEFT1505', describeError(error), { cause: error }),
        );
      }
    });
  }

  private refuse(call: DeltaCall, error: WeftError): void {
    this.options.observer?.refused?.(error.code);
    // Thousands may come too fast, and do so again.
    const level = error.code === 'WEFT1508' ? 'debug' : 'warn';
    this.logger[level]('refused xDS stream', { peer: call.getPeer(), error: describeError(error) });
    const code = statusOf.get(error.code) ?? grpc.status.INVALID_ARGUMENT;
    // How grpc-js takes a status from a streaming handler.
    call.emit(
      'error',
      Object.assign(new Error(error.message), { code, details: `${error.code} ${error.message}` }),
    );
  }
}

const statusOf: ReadonlyMap<string, grpc.status> = new Map([
  ['WEFT1504', grpc.status.UNAUTHENTICATED],
  ['WEFT1507', grpc.status.RESOURCE_EXHAUSTED],
  ['WEFT1508', grpc.status.RESOURCE_EXHAUSTED],
  ['WEFT1509', grpc.status.INTERNAL],
]);

/** @throws WEFT1504 */
function authorizeNode<I>(authorize: DeltaServerOptions<I>['authorize'], identity: I, node: Node): void {
  try {
    authorize?.(identity, node);
  } catch (error) {
    throw new WeftError('WEFT1504', `not allowed as node ${node.id ?? ''}`, { cause: error });
  }
}

/** Requests are decoded by us, so that a malformed one is counted. */
function method(path: string): grpc.MethodDefinition<Buffer, MakeMessage> {
  const keep = (bytes: Buffer): Buffer => bytes;
  return {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: keep,
    requestDeserialize: keep,
    responseSerialize: (make) => make(),
    // Only a client reads responses.
    responseDeserialize: (bytes) => () => bytes,
  };
}
