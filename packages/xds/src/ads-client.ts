import type grpc from '@grpc/grpc-js';
import { DeltaClient } from './delta-client.ts';
import type { Node } from './delta-message.ts';
import { NameSet } from './name-set.ts';
import { PushSubscription, type ResourceConsumer } from './push-subscription.ts';
import { SotwClient } from './sotw-client.ts';
import type { StreamClientOptions } from './stream-client.ts';

export interface AdsClientOptions extends StreamClientOptions {
  readonly protocol: 'delta' | 'sotw';
  readonly node: Node;
  /** In the order in which they are asked for; Envoy's is clusters, endpoints, listeners, routes, secrets. */
  readonly consumers: readonly ResourceConsumer[];
  readonly credentials: () => grpc.ChannelCredentials;
}

/**
 * The L7 engine's side of ADS: the same to the engine whether the wire speaks delta or state of the world. Listeners
 * and clusters are followed as a whole, the types that these refer to by name.
 *
 * Pushes are applied one after the other, in the order in which they came; the next one is read when `receive` of the
 * last has resolved. So `receive` must not wait for other resources: warm in the background.
 */
export class AdsClient {
  private readonly client: DeltaClient | SotwClient;
  private readonly names: ReadonlyMap<string, NameSet>;

  constructor(options: AdsClientOptions) {
    const subscriptions = options.consumers.map(
      (consumer) => new PushSubscription(consumer, consumer.follows === 'names' ? new NameSet() : undefined),
    );
    this.names = new Map(subscriptions.flatMap((s) => (s.names === undefined ? [] : [[s.typeUrl, s.names]])));
    this.client =
      options.protocol === 'delta'
        ? new DeltaClient({ ...options, subscriptions })
        : new SotwClient({ ...options, subscriptions });
  }

  /** Resolves when the client has stopped. */
  get done(): Promise<void> {
    return this.client.done;
  }

  /** True while a stream is open that has delivered something. */
  get connected(): boolean {
    return this.client.connected;
  }

  /** All names wanted of an on-demand type, replacing those before. The difference is asked for at once. */
  setNames(typeUrl: string, names: Iterable<string>): void {
    this.names.get(typeUrl)?.set(names);
  }
}
