import type { Http2Connection } from './connection.ts';
import { BATCH_BYTES } from './output.ts';
import type { DataSource, Http2Stream } from './stream.ts';

/** What streams take from one batch while others wait, so that bulk doesn't hold up small messages. */
const SHARED_QUANTUM_BYTES = 32 * 1024;

export interface SendingStream extends DataSource {
  readonly codec: Http2Stream | undefined;
  /** Kept by `SendTurns`. */
  scheduled: boolean;
  /** Some of it was framed, or its end. */
  sent(): void;
}

/** The streams of a connection that have something to send, each in its turn. */
export class SendTurns<S extends SendingStream> {
  private readonly connection: Http2Connection;
  private readonly ready: S[] = [];

  constructor(connection: Http2Connection) {
    this.connection = connection;
  }

  /** Whether the batch takes another turn's bytes. */
  get hasRoom(): boolean {
    return this.connection.output.pendingBytes < BATCH_BYTES - SHARED_QUANTUM_BYTES;
  }

  /** False if it waits already. */
  add(stream: S): boolean {
    if (stream.scheduled) return false;
    stream.scheduled = true;
    this.ready.push(stream);
    return true;
  }

  /** Fills the batch; a stream at its closed window leaves until `onWritable`. */
  frame(afterTurn?: (stream: S) => void): void {
    const { connection, ready } = this;
    while (ready.length > 0 && this.hasRoom) {
      if (connection.sendWindow <= 0) {
        connection.notifyWhenWritable();
        return;
      }
      const stream = ready.shift();
      if (stream === undefined) return;
      if (stream.codec === undefined) {
        stream.scheduled = false;
        continue;
      }
      const quantum = ready.length > 0 ? SHARED_QUANTUM_BYTES : Number.POSITIVE_INFINITY;
      const sent = connection.sendFrom(stream.codec, stream, quantum);
      if (sent > 0 && stream.size > 0) ready.push(stream);
      else stream.scheduled = false;
      stream.sent();
      afterTurn?.(stream);
    }
  }

  clear(): void {
    this.ready.length = 0;
  }
}
