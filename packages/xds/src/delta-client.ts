import grpc from '@grpc/grpc-js';
import { DELTA_ADS_METHOD } from '@weft/api';
import { silentLogger, type Logger } from '@weft/telemetry';
import {
  DeltaDiscoveryRequest,
  WILDCARD,
  readDeltaResponse,
  writeFirstRequest,
  type DeltaRequestFields,
  type DeltaResponseFrame,
  type Node,
} from './delta-message.ts';
import { StreamClient, type AdsProtocol, type StreamClientOptions } from './stream-client.ts';
import { rejectionError, type AnySubscription } from './subscription.ts';

export interface DeltaClientOptions extends StreamClientOptions {
  readonly node: Node;
  /** In the order in which they are asked for. */
  readonly subscriptions: readonly AnySubscription[];
  /** Once, when every type has been acknowledged at least once. */
  readonly onReady?: () => void;
}

/**
 * The proxy's side of delta ADS. What was received stays in force while there is no stream; the next one begins with
 * the versions that are known, so the server sends only differences.
 */
export class DeltaClient {
  private readonly protocol: DeltaProtocol;
  private readonly client: StreamClient;

  constructor(options: DeltaClientOptions) {
    this.protocol = new DeltaProtocol(options);
    this.client = new StreamClient(options, this.protocol);
  }

  /** Resolves when the client has stopped. */
  get done(): Promise<void> {
    return this.client.done;
  }

  /** True once every type has been acknowledged, for good: a lost stream leaves the state in force. */
  get ready(): boolean {
    return this.protocol.ready;
  }

  /** True while a stream is open that has delivered something. */
  get connected(): boolean {
    return this.client.connected;
  }
}

/**
 * Types without names are asked for as wildcards; those with names by difference, once there is a name; those on
 * demand by giving up the wildcard in the breath that asks for it, and then name by name.
 */
class DeltaProtocol implements AdsProtocol {
  readonly method = DELTA_ADS_METHOD;
  ready = false;
  private readonly options: DeltaClientOptions;
  private readonly logger: Logger;
  private send: ((request: DeltaRequestFields) => void) | undefined;
  /** What this stream's server has been told of each on-demand type. */
  private asked = new Map<AnySubscription, ReadonlySet<string>>();

  constructor(options: DeltaClientOptions) {
    this.options = options;
    this.logger = options.logger ?? silentLogger;
    for (const subscription of options.subscriptions) {
      subscription.names?.watch(() => this.namesChanged(subscription));
    }
  }

  opened(send: (request: Uint8Array) => void): void {
    const { node } = this.options;
    let first = true;
    this.asked = new Map();
    this.send = (request) => {
      // The stream's first message, whatever its type, says who asks. ztunnel's servers want it on each first request.
      send(DeltaDiscoveryRequest.encode({ ...(first ? { node } : {}), ...request }).finish());
      first = false;
    };
    const sendFirst = (request: Uint8Array): void => {
      send(request);
      first = false;
    };
    void this.begin(sendFirst, this.send);
  }

  /** One type after the other, as what is known of each may be a lot. Stops when the stream has ended meanwhile. */
  private async begin(sendFirst: (request: Uint8Array) => void, stream: typeof this.send): Promise<void> {
    const { node, subscriptions } = this.options;
    for (const subscription of subscriptions) {
      const { typeUrl, names, demand } = subscription;
      if (names !== undefined) {
        this.namesChanged(subscription);
        continue;
      }
      const demanded = new Set(demand?.list());
      const onDemand = demand && {
        resourceNamesSubscribe: [WILDCARD, ...demanded],
        resourceNamesUnsubscribe: [WILDCARD],
      };
      const request = await writeFirstRequest({ node, typeUrl, ...onDemand }, subscription.versions());
      if (this.send !== stream) return;
      sendFirst(request);
      if (demand === undefined) continue;
      const subscribe = (name: string): void => this.send?.({ typeUrl, resourceNamesSubscribe: [name] });
      demand.watch({
        subscribe,
        unsubscribe: (name) => this.send?.({ typeUrl, resourceNamesUnsubscribe: [name] }),
      });
      for (const name of demand.list()) if (!demanded.has(name)) subscribe(name);
    }
  }

  async received(response: Buffer): Promise<void> {
    const answer = await this.apply(readDeltaResponse(response));
    this.send?.(answer);
    this.announceReady();
  }

  ended(): void {
    this.send = undefined;
    for (const { demand } of this.options.subscriptions) demand?.watch(undefined);
  }

  private namesChanged(subscription: AnySubscription): void {
    if (this.send === undefined || subscription.names === undefined) return;
    const { typeUrl } = subscription;
    const wanted = new Set(subscription.names.list());
    const asked = this.asked.get(subscription);
    if (asked === undefined) {
      // An empty first request would be one for everything.
      if (wanted.size === 0) return;
      this.asked.set(subscription, wanted);
      this.send({
        typeUrl,
        resourceNamesSubscribe: [...wanted],
        initialResourceVersions: versionsOf(subscription),
      });
      return;
    }
    const resourceNamesSubscribe = [...wanted].filter((name) => !asked.has(name));
    const resourceNamesUnsubscribe = [...asked].filter((name) => !wanted.has(name));
    if (resourceNamesSubscribe.length === 0 && resourceNamesUnsubscribe.length === 0) return;
    this.asked.set(subscription, wanted);
    this.send({ typeUrl, resourceNamesSubscribe, resourceNamesUnsubscribe });
  }

  /** Applies a push and returns its ACK or NACK. */
  private async apply(frame: DeltaResponseFrame): Promise<DeltaRequestFields> {
    const { typeUrl, nonce } = frame;
    const answer = { typeUrl, responseNonce: nonce };
    const subscription = this.options.subscriptions.find((s) => s.typeUrl === typeUrl);
    if (subscription === undefined) {
      this.logger.error('push of a type that was not asked for', { typeUrl });
      return answer;
    }
    const rejections = await subscription.receive(frame, this.options.signal);
    this.logger.debug('received push', {
      typeUrl,
      resources: frame.resourceCount,
      removed: frame.removed.length,
      rejected: rejections.length,
    });
    if (rejections.length === 0) return answer;
    const { message } = rejectionError(rejections, typeUrl, this.logger);
    return { ...answer, errorDetail: { code: grpc.status.INVALID_ARGUMENT, message } };
  }

  private announceReady(): void {
    if (this.ready || !this.options.subscriptions.every((s) => s.acknowledged)) return;
    this.ready = true;
    this.options.onReady?.();
  }
}

function versionsOf(subscription: AnySubscription): Record<string, string> {
  return Object.fromEntries(subscription.versions());
}
