import type { HeaderMap } from '../../engine/types.ts';
import type { HttpStreamEvents } from '../codec.ts';

/** Keeps what arrives on a stream. */
export class Recorder implements HttpStreamEvents {
  headers: HeaderMap | undefined;
  readonly interim: number[] = [];
  trailers: HeaderMap | undefined;
  reset: string | undefined;
  ended = false;
  drains = 0;
  private chunks: Buffer[] = [];

  get body(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  onInformational(headers: HeaderMap): void {
    this.interim.push(headers.status ?? 0);
  }

  onHeaders(headers: HeaderMap, end: boolean): void {
    this.headers = headers;
    this.ended = end;
  }

  onData(chunk: Buffer, end: boolean): void {
    this.chunks.push(chunk);
    this.ended = end;
  }

  onTrailers(trailers: HeaderMap): void {
    this.trailers = trailers;
    this.ended = true;
  }

  onReset(reason: string): void {
    this.reset = reason;
  }

  onDrain(): void {
    this.drains++;
  }
}
