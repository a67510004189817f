import type grpc from '@grpc/grpc-js';
import type { Clock } from '@weft/telemetry';
import type { Node } from './delta-message.ts';
import type { ChangedNames, StreamSubscriptionsOptions } from './stream-subscriptions.ts';
import type { Throttle } from './throttle.ts';
import type { TypeStatus } from './type-subscription.ts';

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

export interface ConnectionOptions extends StreamSubscriptionsOptions {
  readonly call: DeltaCall;
  /** Says which state of the sources a push shows, for people. */
  readonly systemVersion: () => string;
  /** Of the last change of any source. */
  readonly sequence: () => number;
  /** Of all connections of a server. */
  readonly throttle: Throttle;
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

/** For so long a client that doesn't read counts as one that is being written to. */
export const MAX_WRITE_SLOT_MS = 1_000;

/**
 * Few at a time, so that thousands who reconnect together don't all have their first answer in memory. Whoever reads
 * too slowly keeps its message, but not its place.
 */
export async function inTurn(
  { throttle, clock }: { readonly throttle: Throttle; readonly clock: Clock },
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
