import type { Socket } from 'node:net';
import { ErrorCode } from '../http2/constants.ts';
import {
  isCleanEnd,
  type StreamClose,
  type TunnelStream,
  type TunnelStreamHandler,
} from './tunnel-stream.ts';

/** How a relay ended. `socket-error`: the plain side broke (its code says how), and the tunnel was reset. */
export type RelayEnd =
  | { readonly kind: 'ended' }
  | { readonly kind: 'tunnel-reset'; readonly code: number; readonly by: 'peer' | 'local' }
  | { readonly kind: 'tunnel-lost'; readonly error: Error }
  | { readonly kind: 'socket-error'; readonly error: Error };

export interface Relay {
  /** Bytes from the socket into the tunnel, and out of the tunnel into the socket, so far. */
  readonly bytesToTunnel: number;
  readonly bytesFromTunnel: number;
  /** Cuts both sides. */
  destroy(): void;
}

/**
 * Copies between a plain socket (made with `allowHalfOpen`) and a tunnel until both directions ended. Each direction
 * ends on its own: end of file becomes END_STREAM, and END_STREAM becomes a shutdown of the write side. A slow side
 * slows the other down. `onEnd` is called once, when both sides are closed.
 */
export function relay(socket: Socket, stream: TunnelStream, onEnd: (end: RelayEnd) => void): Relay {
  return new SocketRelay(socket, stream, onEnd);
}

class SocketRelay implements Relay, TunnelStreamHandler {
  bytesToTunnel = 0;
  private readonly socket: Socket;
  private readonly stream: TunnelStream;
  private readonly finished: (end: RelayEnd) => void;
  private end: RelayEnd | undefined;
  private streamClosed = false;
  private socketClosed = false;

  constructor(socket: Socket, stream: TunnelStream, onEnd: (end: RelayEnd) => void) {
    this.socket = socket;
    this.stream = stream;
    this.finished = onEnd;
    socket.on('data', (chunk: Buffer) => {
      this.bytesToTunnel += chunk.length;
      if (!stream.write(chunk)) socket.pause();
    });
    socket.on('end', () => stream.end());
    socket.on('drain', () => stream.resume());
    socket.on('error', (error) => this.onSocketError(error));
    socket.on('close', () => {
      this.socketClosed = true;
      // A socket that ended in both directions may be gone before its last bytes left through the tunnel. One that
      // did not was destroyed by somebody.
      const ended = socket.readableEnded && socket.writableFinished;
      if (!this.streamClosed && !ended) stream.reset(ErrorCode.CANCEL);
      this.finishIfClosed();
    });
    stream.attach(this);
    this.catchUp();
  }

  get bytesFromTunnel(): number {
    return this.stream.bytesReceived;
  }

  destroy(): void {
    this.stream.reset(ErrorCode.CANCEL);
    this.socket.destroy();
  }

  onData(chunk: Buffer): void {
    if (!this.socket.write(chunk)) this.stream.pause();
  }

  onEnd(): void {
    this.socket.end();
  }

  onDrain(): void {
    this.socket.resume();
  }

  onClose(close: StreamClose): void {
    this.streamClosed = true;
    this.end ??= relayEnd(close);
    if (close.kind === 'ended') {
      // Both directions are through; the socket closes itself when its last bytes are out.
      this.finishIfClosed();
      return;
    }
    // A clean end lets the application read what it was sent; there is nowhere to put what it still says.
    if (isCleanEnd(close)) this.socket.destroySoon();
    else if (close.kind === 'reset' && close.by === 'local') this.socket.destroy();
    else this.socket.resetAndDestroy();
    this.finishIfClosed();
  }

  /** What happened to the socket while the tunnel was made. */
  private catchUp(): void {
    const { socket } = this;
    if (socket.destroyed) {
      this.socketClosed = socket.closed;
      this.onSocketError(socket.errored ?? new Error('closed before the tunnel was there'));
      return;
    }
    // Node emits 'end' of an empty socket even when nobody reads.
    if (socket.readableEnded) this.stream.end();
    // The caller may have paused it.
    else socket.resume();
  }

  private onSocketError(error: Error): void {
    if (!this.streamClosed) {
      this.end ??= { kind: 'socket-error', error };
      this.stream.reset(ErrorCode.CANCEL);
    }
  }

  private finishIfClosed(): void {
    if (!this.streamClosed || !this.socketClosed || this.end === undefined) return;
    this.finished(this.end);
  }
}

function relayEnd(close: StreamClose): RelayEnd {
  switch (close.kind) {
    case 'ended':
      return { kind: 'ended' };
    case 'reset':
      return { kind: 'tunnel-reset', code: close.code, by: close.by };
    case 'lost':
      return { kind: 'tunnel-lost', error: close.error };
  }
}
