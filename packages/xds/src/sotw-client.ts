import grpc from '@grpc/grpc-js';
import { ADS_METHOD } from '@weft/api';
import { envoy } from '@weft/api/discovery';
import { WeftError, silentLogger, type Logger } from '@weft/telemetry';
import type { Node } from './delta-message.ts';
import type { PushSubscription } from './push-subscription.ts';
import { StreamClient, type AdsProtocol, type StreamClientOptions } from './stream-client.ts';
import { rejectionError } from './subscription.ts';

const { DiscoveryRequest, DiscoveryResponse } = envoy.service.discovery.v3;
type RequestFields = envoy.service.discovery.v3.DiscoveryRequest.$Properties;

export interface SotwClientOptions extends StreamClientOptions {
  readonly node: Node;
  readonly subscriptions: readonly PushSubscription[];
}

/** The proxy's side of state-of-the-world ADS. */
export class SotwClient {
  private readonly client: StreamClient;

  constructor(options: SotwClientOptions) {
    this.client = new StreamClient(options, new SotwProtocol(options));
  }

  get done(): Promise<void> {
    return this.client.done;
  }

  get connected(): boolean {
    return this.client.connected;
  }
}

/** The last of what was exchanged about one type. */
interface TypeState {
  /** Accepted; a NACK repeats it. Survives the stream. */
  version: string;
  /** Of this stream; empty before its first response. */
  nonce: string;
  asked: ReadonlySet<string> | undefined;
}

class SotwProtocol implements AdsProtocol {
  readonly method = ADS_METHOD;
  private readonly options: SotwClientOptions;
  private readonly logger: Logger;
  private readonly states = new Map<PushSubscription, TypeState>();
  private send: ((request: RequestFields) => void) | undefined;

  constructor(options: SotwClientOptions) {
    this.options = options;
    this.logger = options.logger ?? silentLogger;
    for (const subscription of options.subscriptions) {
      this.states.set(subscription, { version: '', nonce: '', asked: undefined });
      subscription.names?.watch(() => this.namesChanged(subscription));
    }
  }

  opened(send: (request: Uint8Array) => void): void {
    const { node, subscriptions } = this.options;
    let first = true;
    this.send = (request) => {
      send(DiscoveryRequest.encode({ ...(first ? { node } : {}), ...request }).finish());
      first = false;
    };
    for (const subscription of subscriptions) {
      const state = this.stateOf(subscription);
      state.nonce = '';
      state.asked = undefined;
      if (subscription.names !== undefined) this.namesChanged(subscription);
      else this.send(this.request(subscription));
    }
  }

  async received(bytes: Buffer): Promise<void> {
    const response = decode(bytes);
    const subscription = this.options.subscriptions.find((s) => s.typeUrl === response.typeUrl);
    if (subscription === undefined) {
      this.logger.error('push of a type that was not asked for', { typeUrl: response.typeUrl });
      return;
    }
    const state = this.stateOf(subscription);
    const rejections = await subscription.receiveState(
      {
        version: response.versionInfo,
        resources: response.resources.map((any) => any.value ?? new Uint8Array()),
      },
      this.options.signal,
    );
    state.nonce = response.nonce;
    if (rejections.length === 0) state.version = response.versionInfo;
    const request = this.request(subscription);
    if (rejections.length === 0) return this.send?.(request);
    const { message } = rejectionError(rejections, subscription.typeUrl, this.logger);
    this.send?.({ ...request, errorDetail: { code: grpc.status.INVALID_ARGUMENT, message } });
  }

  ended(): void {
    this.send = undefined;
  }

  private namesChanged(subscription: PushSubscription): void {
    const { asked } = this.stateOf(subscription);
    if (this.send === undefined || subscription.names === undefined) return;
    const wanted = new Set(subscription.names.list());
    // An empty first request would be one for everything.
    if (asked === undefined ? wanted.size === 0 : sameSet(asked, wanted)) return;
    this.send(this.request(subscription));
  }

  /** Every request carries the whole of what is wanted. */
  private request(subscription: PushSubscription): RequestFields {
    const state = this.stateOf(subscription);
    const { version, nonce } = state;
    const { typeUrl, names } = subscription;
    const resourceNames = [...(names?.list() ?? [])];
    state.asked = new Set(resourceNames);
    return { typeUrl, versionInfo: version, responseNonce: nonce, resourceNames };
  }

  private stateOf(subscription: PushSubscription): TypeState {
    const state = this.states.get(subscription);
    if (state === undefined) throw new Error(`no state of ${subscription.typeUrl}`);
    return state;
  }
}

/** @throws WEFT1503 */
function decode(bytes: Buffer): ReturnType<typeof DiscoveryResponse.decode> {
  try {
    return DiscoveryResponse.decode(bytes);
  } catch (error) {
    throw new WeftError('WEFT1503', 'the discovery response cannot be read', { cause: error });
  }
}

function sameSet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((name) => b.has(name));
}
