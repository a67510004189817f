import type { HeaderMap } from '../../engine/types.ts';
import type { Http1Writer, SendFraming } from './writer.ts';

/** The connection, as either side's streams need it. */
export interface StreamHost {
  readonly writer: Http1Writer;
  readonly properCase: boolean;
  readonly trailersEnabled: boolean;
  endTransport(): void;
  pauseReading(): void;
  resumeReading(): void;
}

/** What requests and responses have in common: a body that is sent in its framing, and reading that can be paused. */
export abstract class MessageSender<Host extends StreamHost> {
  gone = false;
  paused = false;
  protected readonly codec: Host;
  protected framing: SendFraming = { kind: 'none' };

  constructor(codec: Host) {
    this.codec = codec;
  }

  get writableLength(): number {
    return this.codec.writer.bufferedBytes;
  }

  sendData(chunk: Buffer, endStream: boolean): boolean {
    if (!this.sending) return true;
    const { framing } = this;
    if (framing.kind === 'length') {
      // What exceeds the announced length would be read as the next message.
      const fit = chunk.length > framing.left ? chunk.subarray(0, framing.left) : chunk;
      framing.left -= fit.length;
      this.codec.writer.body(fit, framing);
    } else if (framing.kind !== 'none') this.codec.writer.body(chunk, framing);
    if (endStream) {
      if (framing.kind === 'chunked') this.codec.writer.lastChunk();
      this.finish();
      return true;
    }
    return this.codec.writer.hasRoom;
  }

  sendTrailers(trailers: HeaderMap): void {
    if (!this.sending) return;
    if (this.framing.kind === 'chunked') {
      this.codec.writer.lastChunk(this.codec.trailersEnabled ? trailers : undefined);
    }
    this.finish();
  }

  pauseReading(): void {
    if (this.gone || this.paused) return;
    this.paused = true;
    this.codec.pauseReading();
  }

  resumeReading(): void {
    if (this.gone || !this.paused) return;
    this.paused = false;
    this.codec.resumeReading();
  }

  /** The head was sent, the end wasn't, and there is a peer. */
  protected abstract get sending(): boolean;
  /** The end was sent. */
  protected abstract finish(): void;

  /** Less was sent than announced: the peer would wait for the rest. */
  protected get short(): boolean {
    return this.framing.kind === 'length' && this.framing.left > 0;
  }
}
