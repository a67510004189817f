import { Duplex } from 'node:stream';
import type { ByteStream } from '../engine/types.ts';

/** A `ByteStream` as Node's Duplex, for node:tls to run over what isn't a socket. Takes the stream's handlers. */
export class StreamDuplex extends Duplex {
  private readonly stream: ByteStream;
  private waiting: ((error?: Error | null) => void) | undefined;
  private ended = false;

  constructor(stream: ByteStream) {
    super({ allowHalfOpen: true, autoDestroy: true });
    this.stream = stream;
    stream.onData = (chunk) => {
      if (!this.push(chunk)) stream.pause();
    };
    stream.onEnd = () => {
      this.ended = true;
      this.push(null);
    };
    stream.onDrain = () => {
      const resume = this.waiting;
      this.waiting = undefined;
      resume?.();
    };
    stream.onClose = (error) => {
      if (!this.ended) this.push(null);
      this.destroy(error);
    };
  }

  override _read(): void {
    this.stream.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.stream.write(chunk)) done();
    else this.waiting = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    this.stream.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.stream.closed) {
      if (error === null) this.stream.close();
      else this.stream.reset();
    }
    done(error);
  }
}
