import type { Socket } from 'node:net';
import { resetSocket } from '@weft/linux';
import { CloseSignal } from '../engine/close-signal.ts';
import type { ByteStream, ConnectionInfo } from '../engine/types.ts';

const nothing = (): void => undefined;

/** How long a closed connection stays open for the peer to read what was sent: unread input would turn FIN into RST. */
export const LINGER_MS = 1_000;
/** How long a peer may read nothing of what a closed connection still has for it. */
export const UNREAD_MS = 30_000;

const closingTimes = { lingerMs: LINGER_MS, unreadMs: UNREAD_MS };

/** A `ByteStream` that can take bytes back before anybody else read them: what listener filters peek into. */
export interface AcceptedStream extends ByteStream {
  /** Puts bytes before all others; only while paused. */
  unread(chunk: Buffer): void;
  /** The socket under it, for TLS to take over; undefined for internal connections. */
  readonly socket?: Socket;
}

/** A TCP or TLS socket, opened with `allowHalfOpen` and not yet flowing. Takes the ownership. */
export class SocketStream implements AcceptedStream {
  readonly info: ConnectionInfo;
  readonly socket: Socket;
  onData: (chunk: Buffer) => void = nothing;
  onDrain: () => void = nothing;
  onEnd: () => void = nothing;
  private readonly closing = new CloseSignal();
  /** Of a TLS socket: the TCP socket that carries it, which alone can be reset. */
  private readonly carrier: Socket | undefined;
  private readonly times: typeof closingTimes;
  private error: Error | undefined;
  private abandoned = false;
  private readonly onSocketError = (error: Error): void => {
    this.error ??= error;
  };
  private readonly onSocketData = (chunk: Buffer): void => {
    if (!this.abandoned) this.onData(chunk);
  };
  private readonly onSocketDrain = (): void => this.onDrain();
  private readonly onSocketEnd = (): void => {
    if (!this.abandoned) this.onEnd();
  };
  private readonly onSocketClose = (): void => {
    const regular = this.abandoned || (this.socket.readableEnded && this.socket.writableFinished);
    this.closing.fire(regular ? undefined : (this.error ?? new Error('closed before its end')));
  };

  constructor(socket: Socket, info: ConnectionInfo, carrier?: Socket, times = closingTimes) {
    this.socket = socket;
    this.info = info;
    this.carrier = carrier;
    this.times = times;
    // A 'data' listener sets a socket flowing unless it was paused by hand.
    socket.pause();
    socket.on('error', this.onSocketError);
    socket.on('data', this.onSocketData);
    socket.on('drain', this.onSocketDrain);
    socket.on('end', this.onSocketEnd);
    if (socket.closed) queueMicrotask(this.onSocketClose);
    else socket.once('close', this.onSocketClose);
  }

  set onClose(handler: (error?: Error) => void) {
    this.closing.handler = handler;
  }
  get onClose(): (error?: Error) => void {
    return this.closing.handler;
  }

  get writableLength(): number {
    return this.socket.writableLength;
  }

  get closed(): boolean {
    return this.socket.destroyed;
  }

  write(chunk: Buffer): boolean {
    // After an end a write would be an error event; what can't be delivered is dropped.
    return !this.socket.writable || this.socket.write(chunk);
  }

  end(): void {
    if (!this.socket.destroyed) this.socket.end();
  }

  close(): void {
    if (this.abandoned || this.socket.destroyed) return;
    this.abandoned = true;
    this.socket.end();
    this.socket.resume();
    const timer = setTimeout(() => {
      this.socket.destroySoon();
      if (this.socket.destroyed) return;
      // Paused, so that only what the peer reads counts as activity.
      this.socket.pause();
      this.socket.setTimeout(this.times.unreadMs, () => this.socket.destroy());
    }, this.times.lingerMs).unref();
    this.socket.once('close', () => clearTimeout(timer));
  }

  reset(): void {
    this.abandoned = true;
    resetSocket(this.socket, this.carrier);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  unread(chunk: Buffer): void {
    if (chunk.length === 0) return;
    if (this.socket.readableEnded || this.socket.destroyed) {
      // Too late for the socket's own queue: its end was seen while peeking.
      queueMicrotask(() => {
        this.onSocketData(chunk);
        this.onSocketEnd();
      });
    } else this.socket.unshift(chunk);
  }

  /** Gives the socket away, paused: to TLS. This object is dead then. */
  release(): Socket {
    const { socket } = this;
    socket.pause();
    socket.off('data', this.onSocketData);
    socket.off('drain', this.onSocketDrain);
    socket.off('end', this.onSocketEnd);
    socket.off('close', this.onSocketClose);
    // The error listener stays: a socket without one would bring the process down.
    return socket;
  }
}
