import type grpc from '@grpc/grpc-js';
import type { Clock } from '@weft/telemetry';
import type { Throttle } from './throttle.ts';

/** Makes a message when it is sent. */
export type MakeMessage = () => Buffer;
/** Messages are made when grpc-js serialises them, which copies each before it asks for the next. */
export type DeltaCall = grpc.ServerDuplexStream<Buffer, MakeMessage>;

export interface StreamWriterOptions {
  readonly call: DeltaCall;
  readonly clock: Clock;
  /** Of all connections of a server: who may make messages. */
  readonly throttle: Throttle;
  /** Of all connections of a server, in bytes: messages that their clients have yet to read. */
  readonly unread: Throttle;
  /** A message was taken by the transport. */
  readonly onSent: (ms: number) => void;
  /** A client has not read a message for so long that the room which it takes no longer counts. */
  readonly onWriteTimeout: () => void;
  /** What was to be written could not be made: a fault of ours. */
  readonly onFailure: (error: unknown) => void;
}

/** For so long a client that doesn't read counts as one that is being written to. */
export const MAX_WRITE_SLOT_MS = 1_000;
/** For so long others wait for the room that its message takes. */
export const MAX_UNREAD_MS = 30_000;

/** What there is to write, which its owner keeps. */
export interface StreamWork {
  readonly isWaiting: () => boolean;
  /** Takes what has waited longest, and sends it. */
  readonly writeNext: () => Promise<void>;
}

/**
 * Writes to one stream when its turn has come. Few streams at a time, and so many bytes at a time, so that thousands
 * who reconnect together don't all have their first answer in memory. Whoever reads too slowly keeps its message, but
 * not its place, and after half a minute not its room either.
 *
 *     idle ──start──▶ waiting for a place ──▶ writing ──send──▶ waiting for room ──▶ waiting for the client
 *      ▲                     ▲                   ▲                                         │
 *      └──────nothing left───┴──something left───┴─────────────────────────────────────────┘
 */
export class StreamWriter {
  private readonly options: StreamWriterOptions;
  private readonly work: StreamWork;
  private writing = false;
  closed = false;
  private leavePlace = (): void => undefined;

  constructor(options: StreamWriterOptions, work: StreamWork) {
    this.options = options;
    this.work = work;
  }

  /** There is something to write. */
  start(): void {
    if (this.writing || this.closed) return;
    this.writing = true;
    this.run()
      .catch(this.options.onFailure)
      .finally(() => (this.writing = false));
  }

  /** Nothing is written any more. */
  close(): void {
    this.closed = true;
  }

  /**
   * Resolves when the transport has taken the message, so that of each stream one is in memory.
   * @param bytes about as long as it will be: it is made only when there is room for it
   */
  async send(bytes: number, make: MakeMessage): Promise<void> {
    const { call, clock, unread, onSent, onWriteTimeout } = this.options;
    const giveBack = await unread.acquire(bytes);
    const startedAt = clock.now();
    const cancels = [
      clock.schedule(MAX_WRITE_SLOT_MS, this.leavePlace),
      clock.schedule(MAX_UNREAD_MS, () => {
        giveBack();
        onWriteTimeout();
      }),
    ];
    try {
      if (this.closed || call.cancelled || call.destroyed) return;
      await taken(call, make);
      onSent(clock.now() - startedAt);
    } finally {
      for (const cancel of cancels) cancel();
      giveBack();
    }
  }

  private async run(): Promise<void> {
    while (this.work.isWaiting() && !this.closed) {
      this.leavePlace = await this.options.throttle.acquire();
      try {
        await this.work.writeNext();
      } finally {
        this.leavePlace();
      }
    }
  }
}

/** grpc-js accepts messages without limit, so the writer has to wait by itself. A stream that ended takes anything. */
function taken(call: DeltaCall, message: MakeMessage): Promise<void> {
  return new Promise((resolve) => {
    const ends = ['close', 'cancelled', 'error', 'finish'];
    const done = (): void => {
      for (const end of ends) call.off(end, done);
      resolve();
    };
    for (const end of ends) call.on(end, done);
    call.write(message, done);
  });
}
