import grpc from '@grpc/grpc-js';
import { DELTA_ADS_METHOD } from '@weft/api';
import {
  WeftError,
  describeError,
  silentLogger,
  systemClock,
  type Clock,
  type Logger,
} from '@weft/telemetry';
import {
  DeltaDiscoveryRequest,
  readDeltaResponse,
  type DeltaRequestFields,
  type DeltaResponseFrame,
  type Node,
} from './delta-message.ts';
import { ReconnectDelay, reconnectAfter, type Ending } from './reconnect.ts';
import type { AnySubscription } from './subscription.ts';

export interface DeltaClientOptions {
  /** `host:port`; a leading scheme is ignored. */
  readonly address: string;
  /** Called for each connection, so that rotated roots are picked up. */
  readonly credentials: () => grpc.ChannelCredentials;
  /** Called for each connection, so that a rotated token is picked up. */
  readonly headers?: () => Iterable<readonly [name: string, value: string]>;
  readonly node: Node;
  /** In the order in which they are asked for. */
  readonly subscriptions: readonly AnySubscription[];
  /** Once, when every type has been acknowledged at least once. */
  readonly onReady?: () => void;
  /** Each change between having a stream that delivers and having none. */
  readonly onConnection?: (connected: boolean, reason?: string) => void;
  readonly signal: AbortSignal;
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** istiod sends a whole mesh as one message. */
export const MAX_RECEIVE_BYTES = 200 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 5_000;
/** How soon a stop is noticed while connecting. */
const CONNECT_POLL_MS = 200;
const KEEPALIVE_INTERVAL_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;

/**
 * The proxy's side of delta ADS: one stream that always comes back. It starts at once and lasts until the signal.
 *
 *     connecting ──stream──▶ streaming ──end──▶ waiting (reconnect.ts) ──▶ connecting
 *
 * What was received stays in force while there is no stream; the next one begins with the versions that are known,
 * so the server sends only differences.
 */
export class DeltaClient {
  /** Resolves when the client has stopped. */
  readonly done: Promise<void>;
  private readonly options: DeltaClientOptions;
  private readonly clock: Clock;
  private readonly logger: Logger;
  private readonly delay: ReconnectDelay;
  private isReady = false;
  private isConnected = false;

  constructor(options: DeltaClientOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.logger = options.logger ?? silentLogger;
    this.delay = new ReconnectDelay(options.random);
    this.done = this.run();
  }

  /** True once every type has been acknowledged, for good: a lost stream leaves the state in force. */
  get ready(): boolean {
    return this.isReady;
  }

  /** True while a stream is open that has delivered something. */
  get connected(): boolean {
    return this.isConnected;
  }

  private async run(): Promise<void> {
    const { signal, address } = this.options;
    while (!signal.aborted) {
      const { ending, reason } = await this.connect();
      if (signal.aborted) break;
      const reconnect = reconnectAfter(ending);
      const delayMs = this.delay.next(reconnect);
      if (this.isConnected || reconnect === 'after back-off') {
        this.logger.warn('xDS stream ended', { address, reason, retryInMs: Math.round(delayMs) });
      }
      this.setConnected(false, reason);
      await this.clock.sleep(delayMs, signal);
    }
    this.setConnected(false, 'stopped');
  }

  private async connect(): Promise<{ readonly ending: Ending; readonly reason: string }> {
    const { address, credentials, signal } = this.options;
    let client: grpc.Client | undefined;
    let delivered = false;
    try {
      client = new grpc.Client(address.replace(/^\w+:\/\//, ''), credentials(), {
        'grpc.keepalive_time_ms': KEEPALIVE_INTERVAL_MS,
        'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
        'grpc.max_receive_message_length': MAX_RECEIVE_BYTES,
        // A shared subchannel would bring its own back-off, and the credentials of the connection before.
        'grpc.use_local_subchannel_pool': 1,
      });
      await waitForReady(client, signal);
      await this.stream(client, () => {
        delivered = true;
        this.setConnected(true);
      });
      return { ending: { kind: 'clean end', delivered }, reason: 'ended by the control plane' };
    } catch (error) {
      if (error instanceof NotConnected) return { ending: { kind: 'not connected' }, reason: error.message };
      if (isServiceError(error)) {
        const { code, details } = error;
        return {
          ending: { kind: 'status', code, details, delivered },
          reason: `${grpc.status[code]} ${details}`,
        };
      }
      if (WeftError.is(error)) return { ending: { kind: 'malformed' }, reason: describeError(error) };
      return { ending: { kind: 'other error', delivered }, reason: describeError(error) };
    } finally {
      client?.close();
    }
  }

  private async stream(client: grpc.Client, onDelivery: () => void): Promise<void> {
    const { signal, headers, node, subscriptions } = this.options;
    const metadata = new grpc.Metadata();
    for (const [name, value] of headers?.() ?? []) metadata.set(name, value);
    const call = client.makeBidiStreamRequest<DeltaRequestFields, Buffer>(
      DELTA_ADS_METHOD,
      (request) => Buffer.from(DeltaDiscoveryRequest.encode(request).finish()),
      (bytes) => bytes,
      metadata,
    );
    // The loop below sees every error that matters; one may still be emitted after it has been left.
    call.on('error', () => undefined);
    const cancel = (): void => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      for (const subscription of subscriptions) {
        const initialResourceVersions = Object.fromEntries(subscription.versions());
        call.write({ node, typeUrl: subscription.typeUrl, initialResourceVersions });
      }
      // One message at a time: the next is read from the transport when this one has been applied.
      for await (const bytes of call) {
        const frame = readDeltaResponse(bytes as Buffer); // by the deserializer above
        onDelivery();
        call.write(await this.receive(frame));
        this.announceReady();
      }
    } finally {
      signal.removeEventListener('abort', cancel);
      call.cancel();
    }
  }

  /** Applies a push and answers with its ACK or NACK. */
  private async receive(frame: DeltaResponseFrame): Promise<DeltaRequestFields> {
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
      resources: frame.resources.length,
      removed: frame.removed.length,
      rejected: rejections.length,
    });
    if (rejections.length === 0) return answer;
    const message = rejections.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
    const error = new WeftError('WEFT1502', message.slice(0, MAX_NACK_LENGTH));
    this.logger.error('rejected resources', { typeUrl, error: describeError(error) });
    return { ...answer, errorDetail: { code: grpc.status.INVALID_ARGUMENT, message: error.message } };
  }

  private announceReady(): void {
    if (this.isReady || !this.options.subscriptions.every((s) => s.acknowledged)) return;
    this.isReady = true;
    this.options.onReady?.();
  }

  private setConnected(connected: boolean, reason?: string): void {
    if (this.isConnected === connected) return;
    this.isConnected = connected;
    this.options.onConnection?.(connected, reason);
  }
}

const MAX_NACK_LENGTH = 16 * 1024;

class NotConnected extends Error {}

/**
 * As `grpc.Client.waitForReady`, which however goes on by its own back-off after a refused connection, and keeps its
 * timer when the client is closed.
 */
async function waitForReady(client: grpc.Client, signal: AbortSignal): Promise<void> {
  const channel = client.getChannel();
  const deadline = Date.now() + CONNECT_TIMEOUT_MS;
  for (;;) {
    if (signal.aborted) throw new NotConnected('stopped');
    const state = channel.getConnectivityState(true);
    if (state === grpc.connectivityState.READY) return;
    if (state === grpc.connectivityState.TRANSIENT_FAILURE)
      throw new NotConnected('the connection was refused');
    if (Date.now() > deadline) throw new NotConnected(`no connection within ${CONNECT_TIMEOUT_MS / 1_000} s`);
    await new Promise<void>((resolve) => {
      channel.watchConnectivityState(state, Date.now() + CONNECT_POLL_MS, () => resolve());
    });
  }
}

function isServiceError(error: unknown): error is grpc.ServiceError {
  return (
    typeof error === 'object' &&
    error !== null &&
    'details' in error &&
    'code' in error &&
    typeof error.code === 'number'
  );
}
