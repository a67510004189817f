import { DEFAULT_WINDOW_BYTES } from './constants.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { Http2Limits } from './limits.ts';
import type { CreditHolder, ReceiveBudget } from './receive-budget.ts';
import type { Http2Stream } from './stream.ts';

/** Credit is returned when this part of a window is used up: few frames, and the sender never runs dry. */
const CREDIT_FRACTION = 4;

/**
 * The receiving half of flow control (RFC 9113 §5.2): what the peer may send, and how it gets back what it used. A
 * stream's window opens as its user takes the bytes, the connection's as the budget of the process allows.
 */
export class ReceiveCredit implements CreditHolder {
  /** Bytes that the peer may send on the connection. */
  window = DEFAULT_WINDOW_BYTES;
  private readonly limits: Http2Limits;
  private readonly budget: ReceiveBudget;
  private readonly writer: FrameWriter;
  /** Used by the peer, and not yet returned by WINDOW_UPDATE. */
  private credit = 0;
  /** Received while the budget was full: returned on delivery. */
  private withheld = 0;
  /** What a peer that hasn't seen our SETTINGS may send on a stream beyond our window. */
  private unacknowledged: number;
  private stopped = false;

  constructor(limits: Http2Limits, budget: ReceiveBudget, writer: FrameWriter) {
    this.limits = limits;
    this.budget = budget;
    this.writer = writer;
    this.unacknowledged = Math.max(0, DEFAULT_WINDOW_BYTES - limits.streamWindowBytes);
  }

  /** The window of a stream that is opened now. */
  get streamWindow(): number {
    return this.limits.streamWindowBytes + this.unacknowledged;
  }

  /** No setting says the connection's window: the first WINDOW_UPDATE does (RFC 9113 §6.9.2). */
  announce(): void {
    const more = this.limits.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (more <= 0) return;
    this.writer.windowUpdate(0, more);
    this.window += more;
  }

  /** Our SETTINGS apply to what the peer sends from now on (RFC 9113 §6.5.3). */
  settingsAcknowledged(streams: Iterable<Http2Stream>): void {
    for (const stream of streams) stream.receiveWindow -= this.unacknowledged;
    this.unacknowledged = 0;
  }

  /** `bytes` of DATA are about to be handed to a stream's user. */
  enqueue(bytes: number): void {
    this.budget.add(bytes);
  }

  /** They were handed over. */
  received(bytes: number): void {
    if (this.budget.hasRoom) this.returnToConnection(bytes);
    else {
      this.withheld += bytes;
      this.budget.wait(this);
    }
  }

  /** The user of a stream has done with them. */
  delivered(stream: Http2Stream, bytes: number): void {
    if (bytes === 0) return;
    this.returnToStream(stream, bytes);
    const released = Math.min(bytes, this.withheld);
    if (released > 0) {
      this.withheld -= released;
      this.returnToConnection(released);
    }
    this.budget.remove(bytes);
  }

  releaseWithheldCredit(): void {
    const credit = this.withheld;
    this.withheld = 0;
    if (credit > 0) this.returnToConnection(credit);
  }

  returnToConnection(bytes: number): void {
    this.credit += bytes;
    if (this.credit * CREDIT_FRACTION < this.limits.connectionWindowBytes || this.stopped) return;
    this.writer.windowUpdate(0, this.credit);
    this.window += this.credit;
    this.credit = 0;
  }

  returnToStream(stream: Http2Stream, bytes: number): void {
    if (!stream.canReceive || this.stopped) return;
    stream.credit += bytes;
    if (stream.credit * CREDIT_FRACTION < this.limits.streamWindowBytes) return;
    this.writer.windowUpdate(stream.id, stream.credit);
    stream.receiveWindow += stream.credit;
    stream.credit = 0;
  }

  /** GOAWAY was the last frame: nothing more is written. */
  stop(): void {
    this.stopped = true;
  }

  /** The connection is gone; what its users still hold counts until they are done with it. */
  close(): void {
    this.stopped = true;
    this.budget.forget(this);
  }
}
