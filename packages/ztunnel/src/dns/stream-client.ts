import type { Socket } from 'node:net';
import type { DnsResponder } from './responder.ts';
import { framed, StreamFrames } from './stream-frames.ts';

export const TCP_IDLE_MS = 5_000;
/** Queries of one connection that are answered at the same time; the next ones wait in the socket. */
export const MAX_PIPELINED_QUERIES = 16;

/** A client on TCP. Answers go out as they are ready, not in the order of the questions: RFC 7766 §6.2.1.1. */
export class StreamClient {
  private readonly socket: Socket;
  private readonly responder: Pick<DnsResponder, 'respond'>;
  private readonly frames = new StreamFrames();
  private pending = 0;
  private hasEnded = false;

  constructor(socket: Socket, responder: Pick<DnsResponder, 'respond'>) {
    this.socket = socket;
    this.responder = responder;
    socket.on('data', (chunk) => {
      for (const request of this.frames.push(chunk)) void this.answer(request);
      this.regulate();
    });
    socket.on('end', () => {
      this.hasEnded = true;
      this.regulate();
    });
    socket.on('drain', () => this.regulate());
    socket.on('error', () => undefined); // a reset closes the socket, and that is all there is to do
    socket.setTimeout(TCP_IDLE_MS, () => {
      if (this.pending === 0) socket.destroy();
    });
  }

  private async answer(request: Buffer): Promise<void> {
    this.pending++;
    const response = await this.responder.respond(request, 'tcp');
    this.pending--;
    if (response !== undefined && this.socket.writable) this.socket.write(framed(response));
    this.regulate();
  }

  /** A client that asks faster than it is answered, or doesn't read its answers, isn't read from. */
  private regulate(): void {
    if (this.hasEnded) {
      if (this.pending === 0) this.socket.end();
    } else if (this.pending >= MAX_PIPELINED_QUERIES || this.socket.writableNeedDrain) this.socket.pause();
    else this.socket.resume();
  }
}
