import type { RequestHead } from './message-head.ts';
import type { Http2ConnectionError } from './protocol-error.ts';
import type { Http2Stream, StreamEvents } from './stream.ts';

export type Http2Role = 'client' | 'server';

/** The user of a connection. No method may throw. */
export interface ConnectionEvents {
  /** Server: a stream was opened. The returned object gets its events. */
  onRequest(stream: Http2Stream, head: RequestHead, endStream: boolean): StreamEvents;
  /** A stream was closed in both directions; a place is free. */
  onStreamClosed(stream: Http2Stream): void;
  /** The connection's send window opened after `sendFrom` found it closed. */
  onWritable(): void;
  onSettings(): void;
  onPingAck(opaque: Buffer): void;
  onGoaway(lastStreamId: number, code: number): void;
  /** The peer broke the protocol. GOAWAY waits in the output; flush it and close. */
  onFailure(error: Http2ConnectionError): void;
}
