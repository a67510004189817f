import type { X509Certificate } from 'node:crypto';
import {
  addressOfBuffer,
  MAX_TLS_WRITE_BYTES,
  TLS_WOULD_BLOCK,
  type TlsContext,
  TlsSession,
} from '@weft/linux';
import {
  canonicalAddress,
  type SecureConnection,
  type SecureConnectionEvents,
} from '../secure-connection.ts';
import { END_EVENTS, READ_EVENTS, type ReactorHandler } from './reactor.ts';
import type { ReactorSocket } from './reactor-socket.ts';
import { SendQueue } from './send-queue.ts';

/** The largest TLS record's plaintext: with less room left, nothing more is read. */
const RECORD_BYTES = 16 * 1024;

interface PendingWrite {
  readonly bytes: Buffer;
  readonly written: () => void;
  offset: number;
}

export interface HandshakeResult {
  readonly connection: SecureConnection;
  /** Verified. */
  readonly peerCertificate: X509Certificate | undefined;
  readonly hasProtocol: boolean;
}

/**
 * TLS on a reactor.
 *
 *   handshaking ──▶ idle ──start──▶ open ──▶ ended (both sent their ends, or destroyed)
 */
export class ReactorTls implements ReactorHandler, SecureConnection {
  readonly lendsBytes = true;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  private readonly socket: ReactorSocket;
  private readonly tls: TlsSession;
  /** Ciphertext that the kernel didn't take. */
  private readonly queue: SendQueue;
  private readonly writes: PendingWrite[] = [];
  private onHandshake: ((error?: Error) => void) | undefined;
  private events: SecureConnectionEvents | undefined;
  private endIsNear = false;
  private peerEnded = false;
  private ending: 'no' | 'after-writes' | 'notified' | 'done' = 'no';
  private closesWhenSent = false;
  private isClosed = false;

  constructor(socket: ReactorSocket, context: TlsContext, role: 'client' | 'server') {
    const { fd, reactor } = socket;
    this.socket = socket;
    this.remoteAddress = canonicalAddress(socket.remoteAddress);
    this.remotePort = socket.remotePort;
    this.localAddress = canonicalAddress(socket.localAddress);
    this.localPort = socket.localPort ?? 0;
    this.tls = new TlsSession(context, role, fd, reactor.ring);
    this.queue = new SendQueue(reactor.io, fd);
    socket.detach();
    reactor.register(fd, this);
  }

  /** Rejects when the peer breaks off, or isn't verified. */
  handshake(): Promise<HandshakeResult> {
    return new Promise((resolve, reject) => {
      this.onHandshake = (error) => {
        this.onHandshake = undefined;
        if (error !== undefined) return reject(error);
        const { peerCertificate, hasProtocol } = this.tls;
        resolve({ connection: this, peerCertificate, hasProtocol });
      };
      this.socket.reactor.again(this);
    });
  }

  start(events: SecureConnectionEvents): void {
    this.events = events;
    if (this.isClosed) queueMicrotask(() => events.onClose());
    else this.socket.reactor.again(this);
  }

  soon(task: () => void): void {
    this.socket.reactor.soon(task);
  }

  write(bytes: Buffer, written: () => void): boolean {
    // As with a stream that was destroyed, nobody is told.
    if (this.isClosed || this.ending === 'notified' || this.ending === 'done') return false;
    const write = { bytes, written, offset: 0 };
    if (this.writes.length > 0) {
      this.writes.push(write);
      return false;
    }
    try {
      if (this.encrypt(write)) return true;
    } catch (error) {
      this.failSoon(error);
      return false;
    }
    this.writes.push(write);
    return false;
  }

  end(): void {
    if (this.isClosed || this.ending !== 'no') return;
    this.ending = 'after-writes';
    try {
      this.endIfWritten();
    } catch (error) {
      return this.failSoon(error);
    }
    this.closeIfEnded();
  }

  destroySoon(): void {
    if (this.isClosed) return;
    this.closesWhenSent = true;
    if (this.ending === 'no') this.end();
    else this.closeIfEnded();
  }

  destroy(): void {
    this.close();
  }

  onEvents(events: number): void {
    if (this.isClosed) return;
    if ((events & END_EVENTS) !== 0) this.endIsNear = true;
    try {
      if (this.onHandshake !== undefined) this.continueHandshake();
      if (this.isClosed || this.events === undefined) return;
      this.flush();
      if (events === 0 || (events & READ_EVENTS) !== 0) this.read(this.events);
    } catch (error) {
      this.fail(error);
    }
  }

  onFault(error: unknown): void {
    this.fail(error);
  }

  private continueHandshake(): void {
    if (this.queue.size > 0 && !this.queue.flush()) return;
    let isDone: boolean;
    try {
      isDone = this.tls.handshake();
    } finally {
      this.sendCiphertext();
    }
    if (isDone) this.onHandshake?.();
    else if (this.endIsNear && this.peerIsGone()) throw new Error('closed in the handshake');
  }

  /** The library asked for more bytes, and there will be none. */
  private peerIsGone(): boolean {
    return this.socket.reactor.io.peek(this.socket.fd) === 0;
  }

  private read(events: SecureConnectionEvents): void {
    if (this.peerEnded) return;
    const { readBuffer } = this.socket.reactor;
    const size = readBuffer.bytes.length;
    let filled = 0;
    let received = 1;
    try {
      while (received > 0 && size - filled >= RECORD_BYTES) {
        received = this.tls.read(readBuffer.address + filled, size - filled);
        if (received > 0) filled += received;
      }
    } finally {
      this.sendCiphertext();
    }
    if (filled > 0) events.onBytes(readBuffer.bytes.subarray(0, filled));
    if (this.isClosed) return;
    if (received === 0) {
      this.peerEnded = true;
      events.onEnd();
      this.closeIfEnded();
    } else if (received !== TLS_WOULD_BLOCK) this.socket.reactor.again(this);
  }

  /** True: all of it has left. @throws SystemError */
  private encrypt(write: PendingWrite): boolean {
    const { bytes } = write;
    const address = addressOfBuffer(bytes);
    while (write.offset < bytes.length) {
      if (this.queue.size > 0) return false;
      const length = Math.min(bytes.length - write.offset, MAX_TLS_WRITE_BYTES);
      try {
        this.tls.write(address + write.offset, length);
        write.offset += length;
      } finally {
        this.sendCiphertext();
      }
    }
    return this.queue.size === 0;
  }

  /** Empties the ring, which the next session needs empty. */
  private sendCiphertext(): void {
    const { ring, io } = this.socket.reactor;
    const { length } = ring;
    if (length === 0) return;
    let sent = 0;
    try {
      if (this.queue.size === 0) sent = Math.max(0, io.send(this.socket.fd, ring.address, length));
    } finally {
      ring.consume(sent);
      if (sent < length) this.queue.keep(ring.take());
    }
  }

  private flush(): void {
    if (this.queue.size > 0 && !this.queue.flush()) return;
    for (let write = this.writes[0]; write !== undefined; write = this.writes[0]) {
      if (!this.encrypt(write)) return;
      this.writes.shift();
      write.written();
      if (this.isClosed) return;
    }
    this.endIfWritten();
    this.closeIfEnded();
  }

  private endIfWritten(): void {
    if (this.writes.length > 0 || this.queue.size > 0) return;
    if (this.ending === 'after-writes') {
      // Once: a second call would read, and drop, what the peer still sends.
      this.ending = 'notified';
      this.tls.shutdown();
      this.sendCiphertext();
    }
    if (this.ending !== 'notified' || this.queue.size > 0) return;
    this.ending = 'done';
    this.socket.reactor.io.shutdownWrite(this.socket.fd);
  }

  private closeIfEnded(): void {
    if (this.ending === 'done' && (this.peerEnded || this.closesWhenSent)) this.close();
  }

  /** Not within a call from above, which doesn't expect to be called back. */
  private failSoon(error: unknown): void {
    this.socket.reactor.soon(() => this.fail(error));
  }

  private fail(error: unknown): void {
    if (this.isClosed) return;
    const cause = error instanceof Error ? error : new Error(String(error));
    if (this.onHandshake !== undefined) this.onHandshake(cause);
    else this.events?.onError(cause);
    this.close();
  }

  private close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const { reactor, fd } = this.socket;
    this.writes.length = 0;
    this.queue.clear();
    reactor.release(fd);
    // Not before the calls on the stack have returned.
    reactor.dispose(() => this.tls.close());
    this.onHandshake?.(new Error('closed in the handshake'));
    const { events } = this;
    if (events !== undefined) reactor.soon(() => events.onClose());
  }
}
