import { CiphertextRing, DescriptorTable, Epoll, EpollEvent, ForeignBuffer, StreamIo } from '@weft/linux';
import { PipePool } from './pipe-pool.ts';

/** One buffer for whatever is being read: plaintext of eight TLS records, or of one plain socket. */
const READ_BUFFER_BYTES = 128 * 1024;
/** Turns in a row before the event loop gets its promises, timers and messages done. */
const MAX_TURNS = 4;

/** The owner of a registered descriptor. */
export interface ReactorHandler {
  /** Bits of `EpollEvent`; 0 for a call that was asked for with `again`. */
  onEvents(events: number): void;
  /** `onEvents` threw, so this is no longer to be trusted: end without a word. */
  onFault(error: unknown): void;
}

/**
 * All descriptors of a thread in one epoll set, which the thread's event loop waits for like for any other
 * descriptor, so promises, timers and messages keep working beside it. A turn reads whatever is ready, and then
 * runs what was put off to its end, so that all frames of a turn leave in one write a tunnel:
 *
 *   loop ─readable─▶ handlers' onEvents … ─▶ tasks of `soon` (flushes) ─▶ descriptors of `release` are closed
 */
export class Reactor {
  readonly io = new StreamIo();
  readonly ring = new CiphertextRing();
  readonly pipes: PipePool;
  /** For one read at a time: what is in it is gone after the call that it was given to. */
  readonly readBuffer = new ForeignBuffer(READ_BUFFER_BYTES);
  private readonly epoll = new Epoll();
  private readonly descriptors: DescriptorTable;
  private readonly handlers = new Map<number, ReactorHandler>();
  private pending: ReactorHandler[] = [];
  private tasks: (() => void)[] = [];
  private disposals: (() => void)[] = [];
  private isInTurn = false;
  private immediate: NodeJS.Immediate | undefined;

  constructor(descriptors = new DescriptorTable()) {
    this.descriptors = descriptors;
    this.pipes = new PipePool(this.io, descriptors);
    descriptors.add(this.epoll.fd);
    this.epoll.watch(this.turn);
  }

  get registered(): number {
    return this.handlers.size;
  }

  /**
   * Takes a descriptor over, and tells its first events in a later turn. One that is registered already just gets
   * another owner, who finds out by itself what happened so far.
   */
  register(fd: number, handler: ReactorHandler): void {
    if (!this.handlers.has(fd)) {
      this.descriptors.add(fd);
      this.epoll.add(fd);
    }
    this.handlers.set(fd, handler);
  }

  /** Closes a descriptor at the end of the turn, so that its number isn't reused among this turn's events. */
  release(fd: number): void {
    if (!this.handlers.delete(fd)) return;
    this.epoll.delete(fd);
    this.dispose(() => {
      this.descriptors.delete(fd);
      this.io.close(fd);
    });
  }

  /** At the end of the turn, when nothing on the stack can use it any more. */
  dispose(free: () => void): void {
    this.disposals.push(free);
    this.schedule();
  }

  /** Calls the handler in the next turn though no event may come: it stopped reading for others' sake. */
  again(handler: ReactorHandler): void {
    this.pending.push(handler);
    this.schedule();
  }

  /** At the end of this turn. */
  soon(task: () => void): void {
    this.tasks.push(task);
    this.schedule();
  }

  /** The least that a thread has to do before it ends. Nothing is called any more. */
  stopWatching(): void {
    clearImmediate(this.immediate);
    this.epoll.unwatch();
  }

  /** Closes everything. Handlers hear nothing of it. */
  close(): void {
    clearImmediate(this.immediate);
    for (const fd of this.handlers.keys()) this.release(fd);
    for (const free of this.disposals.splice(0)) free();
    clearImmediate(this.immediate);
    this.pipes.closeAll();
    this.descriptors.delete(this.epoll.fd);
    this.epoll.close();
    this.ring.close();
  }

  private schedule(): void {
    if (!this.isInTurn) this.immediate ??= setImmediate(this.turn);
  }

  private readonly turn = (): void => {
    clearImmediate(this.immediate);
    this.immediate = undefined;
    this.isInTurn = true;
    try {
      for (let turn = 0; turn < MAX_TURNS; turn++) {
        const { pending } = this;
        this.pending = [];
        for (const handler of pending) this.call(handler, 0);
        this.epoll.dispatch(this.onEvent);
        this.endTurn();
        if (this.pending.length === 0) break;
      }
    } finally {
      this.isInTurn = false;
      if (this.pending.length > 0 || this.tasks.length > 0 || this.disposals.length > 0) this.schedule();
    }
  };

  private readonly onEvent = (fd: number, events: number): void => {
    const handler = this.handlers.get(fd);
    if (handler !== undefined) this.call(handler, events);
  };

  private call(handler: ReactorHandler, events: number): void {
    try {
      handler.onEvents(events);
    } catch (error) {
      handler.onFault(error);
    }
  }

  private endTurn(): void {
    while (this.tasks.length > 0) {
      const { tasks } = this;
      this.tasks = [];
      for (const task of tasks) task();
    }
    if (this.disposals.length === 0) return;
    const { disposals } = this;
    this.disposals = [];
    for (const free of disposals) free();
  }
}

/** Events after which reading tells more. */
export const READ_EVENTS = EpollEvent.readable | EpollEvent.readHangup | EpollEvent.hangup | EpollEvent.error;
/** Events after which the end of the stream can be close behind a short read. */
export const END_EVENTS = EpollEvent.readHangup | EpollEvent.hangup | EpollEvent.error;
