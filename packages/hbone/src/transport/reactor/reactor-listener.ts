import { acceptQueued, closeDescriptor } from '@weft/linux';
import type { Reactor, ReactorHandler } from './reactor.ts';
import { ReactorSocket } from './reactor-socket.ts';

/** Connections taken in one go, before those that are open get their turn. */
const ACCEPTS_PER_TURN = 32;
/** After a failure, of which lack of descriptors is the usual one. */
const RETRY_MS = 100;

export interface ReactorListenerEvents {
  socket(socket: ReactorSocket): void;
  error(error: Error): void;
}

/** Accepts on a listening descriptor, which it owns and whose options the connections inherit. */
export class ReactorListener implements ReactorHandler {
  private readonly reactor: Reactor;
  private readonly fd: number;
  private readonly events: ReactorListenerEvents;
  private retry: NodeJS.Timeout | undefined;
  private isClosed = false;

  constructor(reactor: Reactor, fd: number, events: ReactorListenerEvents) {
    this.reactor = reactor;
    this.fd = fd;
    this.events = events;
    reactor.register(fd, this);
  }

  get listening(): boolean {
    return !this.isClosed;
  }

  /** Takes over all that is in the kernel's queue, and no more from then on. */
  takeQueued(): void {
    while (!this.isClosed && this.accept()) {
      // the queue ends
    }
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    clearTimeout(this.retry);
    this.reactor.release(this.fd);
  }

  onEvents(): void {
    for (let accepted = 0; accepted < ACCEPTS_PER_TURN; accepted++) {
      if (this.isClosed || !this.accept()) return;
    }
    this.reactor.again(this);
  }

  onFault(error: unknown): void {
    this.events.error(error instanceof Error ? error : new Error(String(error)));
    clearTimeout(this.retry);
    // Edge-triggered: nothing calls again for what is in the queue already.
    this.retry = setTimeout(() => this.reactor.again(this), RETRY_MS);
  }

  private accept(): boolean {
    const fd = acceptQueued(this.fd);
    if (fd === undefined) return false;
    let socket: ReactorSocket;
    try {
      socket = new ReactorSocket(this.reactor, fd);
    } catch {
      closeDescriptor(fd); // its client is gone again
      return true;
    }
    this.events.socket(socket);
    return true;
  }
}
