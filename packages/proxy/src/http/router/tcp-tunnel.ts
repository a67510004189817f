import type { ByteStream, HeaderMap } from '../../engine/types.ts';
import { HeaderMap as Headers } from '../../engine/types.ts';
import type { HttpStream, HttpStreamEvents, ResetReason } from '../codec.ts';

const EMPTY = Buffer.alloc(0);

/**
 * A byte connection in the place of an upstream HTTP stream: a CONNECT that ends here (`connect_config`). Answers 200
 * by itself; data are the connection's bytes, their end is a half-close.
 */
export class TcpTunnel implements HttpStream {
  private readonly connection: ByteStream;
  private events: HttpStreamEvents | undefined;
  private gone = false;
  private answered = false;
  /** The connection was lost before the answer left: a CONNECT that ends here is answered all the same. */
  private lost = false;
  private localEnded = false;
  private remoteEnded = false;

  constructor(connection: ByteStream) {
    this.connection = connection;
  }

  get writableLength(): number {
    return this.connection.writableLength;
  }

  attach(events: HttpStreamEvents): void {
    this.events = events;
    const { connection } = this;
    connection.onData = (chunk) => {
      if (!this.gone) this.events?.onData(chunk, false);
    };
    connection.onDrain = () => {
      if (!this.gone) this.events?.onDrain();
    };
    connection.onEnd = () => {
      if (this.gone || this.remoteEnded) return;
      this.remoteEnded = true;
      this.events?.onData(EMPTY, true);
    };
    connection.onClose = (error) => this.onClose(error);
  }

  sendHeaders(): void {
    queueMicrotask(() => {
      if (this.gone) return;
      this.answered = true;
      this.events?.onHeaders(Headers.response(200), false);
      if (this.lost) this.onClose(new Error('closed before its answer'));
      else this.connection.resume();
    });
  }

  sendData(chunk: Buffer, endStream: boolean): boolean {
    if (this.gone || this.localEnded) return true;
    const room = chunk.length === 0 || this.connection.write(chunk);
    if (endStream) {
      this.localEnded = true;
      this.connection.end();
    }
    return room;
  }

  sendTrailers(_trailers: HeaderMap): void {
    this.sendData(EMPTY, true);
  }

  sendInformational(): void {
    // Bytes have none.
  }

  reset(_reason: ResetReason): void {
    if (this.gone) return;
    this.gone = true;
    if (this.localEnded && this.remoteEnded) this.connection.close();
    else this.connection.reset();
  }

  pauseReading(): void {
    if (!this.gone) this.connection.pause();
  }

  resumeReading(): void {
    if (!this.gone) this.connection.resume();
  }

  private onClose(error: Error | undefined): void {
    if (this.gone) return;
    if (!this.answered) {
      this.lost = true;
      return;
    }
    const clean = error === undefined && this.remoteEnded;
    this.gone = true;
    // A TCP abort travels on as one.
    if (!clean) this.events?.onReset('connect-error');
  }
}
