import type { Http2Role } from './connection-events.ts';
import { ErrorCode, LARGEST_STREAM_ID } from './constants.ts';
import type { FrameWriter } from './frame-writer.ts';
import { Http2ConnectionError } from './protocol-error.ts';

/** Marks the PING whose answer shows that the peer saw our first GOAWAY (RFC 9113 §6.8). */
const DRAIN_PING = Buffer.from('weftdrai', 'latin1');

/**
 * Which GOAWAY went each way (RFC 9113 §6.8). A server that drains sends two, so that no request which was under way
 * is lost:
 *
 *   none ─ drain ─► announced (every stream is still taken) ─ PING answered ─► final
 *     └── drain of a client, error, or the peer's GOAWAY ──────────────────────►┘
 */
export class Goaway {
  private readonly role: Http2Role;
  private readonly writer: FrameWriter;
  private sentId: number | undefined;
  private receivedId: number | undefined;

  constructor(role: Http2Role, writer: FrameWriter) {
    this.role = role;
    this.writer = writer;
  }

  /** No stream is to be opened by us. */
  get exchanged(): boolean {
    return this.sentId !== undefined || this.receivedId !== undefined;
  }

  /** No stream will be opened by either side. */
  get final(): boolean {
    return this.receivedId !== undefined || (this.sentId !== undefined && this.sentId !== LARGEST_STREAM_ID);
  }

  send(lastStreamId: number, code: number, reason: string): void {
    this.writer.goaway(lastStreamId, code, reason);
    this.sentId = lastStreamId;
  }

  /** First announces, and cuts off only what comes after the peer has seen it. */
  drain(): void {
    if (this.sentId !== undefined) return;
    if (this.role === 'client') {
      this.send(0, ErrorCode.NO_ERROR, '');
      return;
    }
    this.send(LARGEST_STREAM_ID, ErrorCode.NO_ERROR, '');
    this.writer.ping(DRAIN_PING, false);
  }

  /** Whether a PING's answer was for the announcement, which it then makes final. */
  acknowledged(opaque: Buffer, lastPeerStreamId: number): boolean {
    if (this.role !== 'server' || this.sentId !== LARGEST_STREAM_ID || !opaque.equals(DRAIN_PING))
      return false;
    this.send(lastPeerStreamId, ErrorCode.NO_ERROR, '');
    return true;
  }

  /** @throws Http2ConnectionError if the peer takes back what it said. */
  receive(lastStreamId: number): void {
    if (this.receivedId !== undefined && lastStreamId > this.receivedId) {
      throw new Http2ConnectionError(ErrorCode.PROTOCOL_ERROR, 'GOAWAY raised its last stream');
    }
    this.receivedId = lastStreamId;
  }

  /** Server: the peer was told that streams above this are not processed. */
  refuses(id: number): boolean {
    return this.sentId !== undefined && id > this.sentId;
  }
}
