import grpc from '@grpc/grpc-js';
import {
  WeftError,
  describeError,
  silentLogger,
  systemClock,
  type Clock,
  type Logger,
} from '@weft/telemetry';
import { ReconnectDelay, reconnectAfter, type Ending } from './reconnect.ts';

/** What is spoken on the stream; outlives the streams, and so knows what to ask for on the next. */
export interface AdsProtocol {
  /** The gRPC method. */
  readonly method: string;
  /** A stream was opened: sends the first requests. `send` is good until `ended`. */
  opened(send: (request: Uint8Array) => void): void;
  /** Applies a response and answers it. The next one is read from the transport when this one has been applied.
   * @throws WEFT1503 when it cannot be read */
  received(response: Buffer): Promise<void>;
  ended(): void;
}

export interface StreamClientOptions {
  /** `host:port`; a leading scheme is ignored. */
  readonly address: string;
  /** Called for each connection, so that rotated roots are picked up. */
  readonly credentials: () => grpc.ChannelCredentials;
  /** Called for each connection, so that a rotated token is picked up. */
  readonly headers?: () => Iterable<readonly [name: string, value: string]>;
  /** Each change between having a stream that delivers and having none. */
  readonly onConnection?: (connected: boolean, reason?: string) => void;
  /** Each connection, or attempt at one, that ended by itself. */
  readonly onEnd?: (ending: Ending) => void;
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
 * One ADS stream that always comes back. It starts at once and lasts until the signal.
 *
 *     connecting ──stream──▶ streaming ──end──▶ waiting (reconnect.ts) ──▶ connecting
 */
export class StreamClient {
  /** Resolves when the client has stopped. */
  readonly done: Promise<void>;
  private readonly options: StreamClientOptions;
  private readonly protocol: AdsProtocol;
  private readonly clock: Clock;
  private readonly logger: Logger;
  private readonly delay: ReconnectDelay;
  private isConnected = false;

  constructor(options: StreamClientOptions, protocol: AdsProtocol) {
    this.options = options;
    this.protocol = protocol;
    this.clock = options.clock ?? systemClock;
    this.logger = options.logger ?? silentLogger;
    this.delay = new ReconnectDelay(options.random);
    this.done = this.run();
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
      this.options.onEnd?.(ending);
      const reconnect = reconnectAfter(ending);
      const delayMs = this.delay.next(reconnect);
      if (this.isConnected || reconnect === 'after back-off') {
        this.logger.warn('xDS stream ended', {
          code: 'WEFT1501',
          address,
          reason,
          retryInMs: Math.round(delayMs),
        });
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
    const { signal, headers } = this.options;
    const metadata = new grpc.Metadata();
    for (const [name, value] of headers?.() ?? []) metadata.set(name, value);
    const call = client.makeBidiStreamRequest<Uint8Array, Buffer>(
      this.protocol.method,
      (request) => Buffer.from(request.buffer, request.byteOffset, request.byteLength),
      (bytes) => bytes,
      metadata,
    );
    // The loop below sees every error that matters; one may still be emitted after it has been left.
    call.on('error', () => undefined);
    const cancel = (): void => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      this.protocol.opened((request) => void call.write(request));
      for await (const bytes of call) {
        onDelivery();
        await this.protocol.received(bytes as Buffer).catch(cannotApply); // by the deserializer above
      }
    } finally {
      this.protocol.ended();
      signal.removeEventListener('abort', cancel);
      call.cancel();
    }
  }

  private setConnected(connected: boolean, reason?: string): void {
    if (this.isConnected === connected) return;
    this.isConnected = connected;
    this.options.onConnection?.(connected, reason);
  }
}

/** A fault of ours, which the same response would meet again at once: it has to back off as a malformed one does. */
function cannotApply(error: unknown): never {
  throw WeftError.is(error)
    ? error
    : new WeftError('WEFT1502', 'a response cannot be applied', { cause: error });
}

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
