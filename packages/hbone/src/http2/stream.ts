import type { FlatFields } from './hpack/decoder.ts';
import type { ResponseHead } from './message-head.ts';

/**
 * RFC 9113 §5.1 without the push states:
 *
 *                    ┌─ local END_STREAM ─► half-closed-local ──┐
 *   (idle) ─► open ──┤                                          ├─► closed
 *                    └─ peer END_STREAM ──► half-closed-remote ─┘
 *   RST_STREAM of either side, from any state: closed
 */
export type StreamState = 'open' | 'half-closed-local' | 'half-closed-remote' | 'closed';

/** Which header section may come next: a tunnel (`connected`) takes none (RFC 9113 §8.5), a message trailers. */
export type StreamPhase = 'awaiting-response' | 'message' | 'connected';

/** The user of a stream. No method may throw. */
export interface StreamEvents {
  /** Client: the final response. */
  onResponse(head: ResponseHead, endStream: boolean): void;
  /** Client: a 1xx response. */
  onInterim?(head: ResponseHead): void;
  /**
   * A piece of the body. Each of its bytes must be acknowledged by `Http2Connection.delivered` once, even after
   * the stream closed. The view is valid during the call, unless the transport never reuses its buffers.
   */
  onData(piece: Buffer): void;
  /** The peer sends no more. */
  onEnd(): void;
  /** The peer ends its message with these; in place of `onEnd` where it is there. */
  onTrailers?(fields: FlatFields): void;
  /** The stream is closed by RST_STREAM, by GOAWAY (REFUSED_STREAM: never processed), or by us for a violation. */
  onReset(code: number, by: 'peer' | 'local'): void;
  /** The send window opened after `sendFrom` found it closed. */
  onWritable(): void;
  /** The connection is gone. */
  onLost(error: Error): void;
}

/** For a stream between its creation and the moment its user is known: nothing can happen to it. */
export const unattachedStreamEvents: StreamEvents = {
  onResponse: () => undefined,
  onData: () => undefined,
  onEnd: () => undefined,
  onReset: () => undefined,
  onWritable: () => undefined,
  onLost: () => undefined,
};

/** What a stream has to send. Bytes are copied out of it at the moment they are framed, never before. */
export interface DataSource {
  readonly size: number;
  /** Nothing follows `size`. */
  readonly ended: boolean;
  /** Moves exactly `length` bytes to `target`. */
  take(target: Buffer, offset: number, length: number): void;
}

/** What the client asked for, as far as it decides how the answer is read. */
export type RequestKind = 'connect' | 'head' | 'message';

/** The codec's record of a stream. Changed only by the connection. */
export class Http2Stream {
  readonly id: number;
  events: StreamEvents;
  state: StreamState = 'open';
  phase: StreamPhase;
  /** Bytes that we may send. Negative after the peer shrank its initial window. */
  sendWindow: number;
  /** Bytes that the peer may send. */
  receiveWindow: number;
  /** Delivered, and not yet returned by WINDOW_UPDATE. */
  credit = 0;
  /** `sendFrom` stopped at this stream's own window. */
  blocked = false;
  /** Server: response headers were sent. */
  answered = false;
  /** Client: a 2xx makes it a tunnel. */
  readonly connect: boolean;
  /** Client: the answer to HEAD has a length and no body. */
  readonly bodiless: boolean;
  /** What is to come of an announced content-length (RFC 9113 §8.1.1). */
  expectedBytes: number | undefined;

  constructor(
    id: number,
    events: StreamEvents,
    phase: StreamPhase,
    sendWindow: number,
    receiveWindow: number,
    request: RequestKind = 'connect',
  ) {
    this.connect = request === 'connect';
    this.bodiless = request === 'head';

    this.id = id;
    this.events = events;
    this.phase = phase;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  get canSend(): boolean {
    return this.state === 'open' || this.state === 'half-closed-remote';
  }

  get canReceive(): boolean {
    return this.state === 'open' || this.state === 'half-closed-local';
  }
}

/** How many closed streams are remembered, so that late frames get the answer the RFC asks for. */
const REMEMBERED_CLOSED_STREAMS = 512;

/** `reset`: by us. */
export type StreamEnd = 'reset' | 'reset-by-peer' | 'ended';
export type ClosedStream = StreamEnd | 'forgotten' | 'never-opened';

/** RFC 9113 §5.1 "closed": frames for a stream that we reset are ignored, for one that the peer closed they are an error. */
export class ClosedStreams {
  private readonly how = new Map<number, StreamEnd>();
  private forgottenUpTo = 0;

  add(id: number, how: StreamEnd): void {
    this.how.set(id, how);
    if (this.how.size <= REMEMBERED_CLOSED_STREAMS) return;
    for (const oldest of this.how.keys()) {
      this.how.delete(oldest);
      if (oldest > this.forgottenUpTo) this.forgottenUpTo = oldest;
      break;
    }
  }

  of(id: number): ClosedStream {
    return this.how.get(id) ?? (id <= this.forgottenUpTo ? 'forgotten' : 'never-opened');
  }
}
