import type { HeaderMap } from '../../engine/types.ts';
import type { HttpStream } from '../codec.ts';

/**
 * The body and the trailers of a request, as far as they must wait: all while another attempt may need them, otherwise
 * what came before there was a stream.
 */
export class RequestBody {
  private readonly limitBytes: number;
  private chunks: Buffer[] = [];
  private bytes = 0;
  private keeping: boolean;
  private incomplete = false;
  private trailers: HeaderMap | undefined;
  private complete = false;

  constructor(limitBytes: number, keeping: boolean) {
    this.limitBytes = limitBytes;
    this.keeping = keeping;
  }

  /** It is kept for another attempt. */
  get kept(): boolean {
    return this.keeping;
  }

  /** Some of it was sent and isn't here any more: no other attempt can be made. */
  get lost(): boolean {
    return this.incomplete;
  }

  get ended(): boolean {
    return this.complete;
  }

  /** Something comes behind the head. */
  get follows(): boolean {
    return this.chunks.length > 0 || !this.complete || this.trailers !== undefined;
  }

  /** @returns false when so much waits that the client has to. */
  add(chunk: Buffer, streaming: boolean): boolean {
    if (this.keeping || !streaming) {
      this.chunks.push(chunk);
      this.bytes += chunk.length;
      if (this.bytes > this.limitBytes) {
        if (!streaming) return false;
        // Too much to keep for another attempt.
        this.stopKeeping();
        this.drop();
      }
    }
    if (streaming && !this.keeping && chunk.length > 0) this.incomplete = true;
    return true;
  }

  setTrailers(trailers: HeaderMap): void {
    this.trailers = trailers;
  }

  end(): void {
    this.complete = true;
  }

  stopKeeping(): void {
    this.keeping = false;
  }

  drop(): void {
    if (this.chunks.length > 0) this.incomplete = true;
    this.clear();
  }

  /** Nobody will ask for it any more. */
  clear(): void {
    this.chunks = [];
    this.bytes = 0;
  }

  /** Sends what there is. @returns whether the stream takes more. */
  sendTo(stream: HttpStream, follows: boolean): boolean {
    let room = true;
    const last = this.chunks.length - 1;
    for (const [i, chunk] of this.chunks.entries()) {
      room = stream.sendData(chunk, this.complete && this.trailers === undefined && i === last);
    }
    if (follows && this.complete) {
      if (this.trailers !== undefined) stream.sendTrailers(this.trailers.clone());
      else if (last < 0) stream.sendData(EMPTY, true);
    }
    if (!this.keeping) this.drop();
    return room;
  }
}

const EMPTY = Buffer.alloc(0);
