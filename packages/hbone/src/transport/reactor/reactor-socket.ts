import { EpollEvent, ForeignBuffer, MAX_TLS_WRITE_BYTES } from '@weft/linux';
import type { CancelSignal } from '../cancellation.ts';
import { FRAME_HEADER_BYTES } from '../../http2/constants.ts';
import type { EndHandler, RelayEnd } from '../relay.ts';
import { END_EVENTS, READ_EVENTS, type Reactor, type ReactorHandler } from './reactor.ts';
import { SendQueue } from './send-queue.ts';

/**
 * What one read takes from a plain socket: with its frame's header it fills whole TLS records. Nine bytes more would be a
 * record and a packet of their own, and a sliver at the other end.
 */
const READ_BYTES = MAX_TLS_WRITE_BYTES - FRAME_HEADER_BYTES;

/**
 * A plain TCP socket on a reactor, and one end of a relay.
 *
 *   connecting ─▶ idle (accepted; nobody reads) ─attach─▶ relaying ─▶ closed
 *        └────────────┴── handed over to TLS: another handler has the descriptor
 */
export class ReactorSocket implements ReactorHandler, RelayEnd {
  readonly lends = true;
  readonly fd: number;
  readonly reactor: Reactor;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Called once if it closes before anybody reads. */
  onGone: (() => void) | undefined;
  private readonly queue: SendQueue;
  private handler: EndHandler | undefined;
  private knownLocal: { address: string; port: number } | undefined;
  private readable: boolean;
  private endIsNear = false;
  private paused = false;
  private asked = false;
  private needDrain = false;
  private peerEnded = false;
  private ending: 'no' | 'after-queue' | 'done' = 'no';
  private closesWhenSent = false;
  /** What ended it before anybody listened. */
  failure: Error | undefined;
  private state: 'open' | 'closed' | 'handed-over' = 'open';

  /**
   * Takes over a connected descriptor. One that is registered already doesn't tell again that it is readable.
   * @throws Error if it is gone already; the descriptor stays the caller's
   */
  constructor(reactor: Reactor, fd: number, { isReadable = false } = {}) {
    const remote = reactor.io.remoteAddress(fd);
    if (remote === undefined) throw new Error('closed before it was accepted');
    this.reactor = reactor;
    this.fd = fd;
    this.remoteAddress = remote.address;
    this.remotePort = remote.port;
    this.readable = isReadable;
    this.queue = new SendQueue(reactor.io, fd);
    reactor.register(fd, this);
  }

  /** The kernel is asked when somebody needs it, as most connections don't; undefined if it has another owner by then. */
  get localAddress(): string | undefined {
    return this.local?.address;
  }
  get localPort(): number | undefined {
    return this.local?.port;
  }
  private get local(): { address: string; port: number } | undefined {
    if (this.state === 'open') this.knownLocal ??= this.reactor.io.localAddress(this.fd);
    return this.knownLocal;
  }

  get destroyed(): boolean {
    return this.state === 'closed';
  }

  /** The descriptor's next owner has to be told to the reactor. */
  detach(): void {
    this.state = 'handed-over';
    this.onGone = undefined;
  }

  attach(handler: EndHandler): void {
    this.handler = handler;
    this.onGone = undefined;
    if (this.state === 'closed') {
      const error = this.failure ?? new Error('closed before its end');
      queueMicrotask(() => handler.onClose({ kind: 'failed', error }));
    } else if (this.readable) this.askAgain();
  }

  write(chunk: Buffer): boolean {
    return this.writeLent(chunk);
  }

  writeLent(chunk: Buffer): boolean {
    if (this.state !== 'open' || this.ending !== 'no') return true;
    try {
      if (this.queue.size === 0 && this.isReadBuffer(chunk)) {
        const at =
          this.reactor.readBuffer.address + chunk.byteOffset - this.reactor.readBuffer.bytes.byteOffset;
        if (this.queue.send(at, chunk)) return true;
      } else {
        const copy = new ForeignBuffer(chunk.length);
        chunk.copy(copy.bytes);
        this.queue.keep(copy);
        if (this.queue.size === chunk.length && this.queue.flush()) return true;
      }
    } catch (error) {
      this.failSoon(error);
      return true;
    }
    this.needDrain = true;
    return false;
  }

  end(): void {
    if (this.state !== 'open' || this.ending !== 'no') return;
    this.ending = 'after-queue';
    this.endIfSent();
    this.closeIfEnded();
  }

  finish(): void {
    if (this.state !== 'open') return;
    this.closesWhenSent = true;
    this.paused = true;
    this.end();
    if (this.ending === 'done') this.close();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused || this.closesWhenSent) return;
    this.paused = false;
    if (this.readable) this.askAgain();
  }

  abort(): void {
    if (this.state !== 'open') return;
    this.reactor.io.resetOnClose(this.fd);
    this.close();
  }

  destroy(): void {
    if (this.state === 'open') this.close();
  }

  onEvents(events: number): void {
    if (this.state !== 'open') return;
    this.asked &&= events !== 0;
    if ((events & READ_EVENTS) !== 0) this.readable = true;
    if ((events & END_EVENTS) !== 0) this.endIsNear = true;
    if (this.handler === undefined) {
      if ((events & (EpollEvent.hangup | EpollEvent.error)) === 0) return;
      this.failure = this.reactor.io.takeError(this.fd, 'read');
      this.close();
      return;
    }
    try {
      if ((events & EpollEvent.writable) !== 0) this.onWritable();
      if (this.readable && !this.paused) this.read();
    } catch (error) {
      this.fail(error);
    }
  }

  onFault(error: unknown): void {
    this.fail(error);
  }

  private read(): void {
    const { io, readBuffer } = this.reactor;
    const { handler } = this;
    if (this.peerEnded || this.state !== 'open' || handler === undefined) return;
    const received = io.receive(this.fd, readBuffer.address, READ_BYTES);
    // Edge-triggered: after a short read the next byte makes an event, but an end that came with this one doesn't.
    if (received < READ_BYTES && !(this.endIsNear && received > 0)) this.readable = false;
    if (received > 0) handler.onData(readBuffer.bytes.subarray(0, received));
    else if (received === 0) {
      this.peerEnded = true;
      handler.onEnd();
      this.closeIfEnded();
    }
    if (this.readable && !this.paused) this.askAgain();
  }

  private askAgain(): void {
    if (this.asked) return;
    this.asked = true;
    this.reactor.again(this);
  }

  private onWritable(): void {
    if (this.queue.size > 0 && !this.queue.flush()) return;
    this.endIfSent();
    if (this.needDrain) {
      this.needDrain = false;
      this.handler?.onDrain();
    }
    this.closeIfEnded();
  }

  private endIfSent(): void {
    if (this.ending !== 'after-queue' || this.queue.size > 0) return;
    this.ending = 'done';
    this.reactor.io.shutdownWrite(this.fd);
  }

  private closeIfEnded(): void {
    if (this.ending === 'done' && (this.peerEnded || this.closesWhenSent)) this.close();
  }

  /** Not within `write`: its caller doesn't expect to be called back. */
  private failSoon(error: unknown): void {
    this.reactor.soon(() => this.fail(error));
  }

  private fail(error: unknown): void {
    if (this.state === 'open') this.close(error);
  }

  private close(error?: unknown): void {
    if (this.state !== 'open') return;
    this.state = 'closed';
    this.queue.clear();
    this.reactor.release(this.fd);
    const { handler, onGone } = this;
    this.onGone = undefined;
    onGone?.();
    if (handler === undefined) return;
    const isRegular = error === undefined && this.ending === 'done' && this.peerEnded;
    this.reactor.soon(() =>
      handler.onClose(
        isRegular
          ? { kind: 'ended' }
          : { kind: 'failed', error: error ?? new Error('closed before its end') },
      ),
    );
  }

  private isReadBuffer(chunk: Buffer): boolean {
    return chunk.buffer === this.reactor.readBuffer.bytes.buffer;
  }
}

export interface ConnectOptions {
  readonly ip: string;
  readonly port: number;
  readonly signal: CancelSignal;
  /** How long it may take, and what it is rejected with then. */
  readonly timeout: { readonly ms: number; readonly error: () => Error };
}

/** Connects an unconnected descriptor, which is closed on failure. */
export function connectSocket(
  reactor: Reactor,
  fd: number,
  { ip, port, signal, timeout }: ConnectOptions,
): Promise<ReactorSocket> {
  return new Promise((resolve, reject) => {
    let isSettled = false;
    const settle = (): boolean => {
      if (isSettled) return false;
      isSettled = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      return true;
    };
    const fail = (error: unknown): void => {
      if (!settle()) return;
      reactor.release(fd);
      reject(error);
    };
    const onAbort = (): void => fail(signal.reason);
    const timer = setTimeout(() => fail(timeout.error()), timeout.ms);
    let failure: unknown;
    try {
      // Before it is registered: epoll takes a socket that doesn't connect yet for one that hung up.
      reactor.io.connect(fd, ip, port);
    } catch (error) {
      failure = error;
    }
    reactor.register(fd, {
      onEvents: (events) => {
        if (isSettled || (events & (EpollEvent.writable | EpollEvent.error)) === 0) return;
        const error = reactor.io.takeError(fd, 'connect');
        if (error !== undefined) return fail(error);
        const socket = new ReactorSocket(reactor, fd, { isReadable: (events & READ_EVENTS) !== 0 });
        settle();
        resolve(socket);
      },
      onFault: fail,
    });
    signal.addEventListener('abort', onAbort, { once: true });
    if (failure !== undefined) fail(failure);
    else if (signal.aborted) onAbort();
  });
}
