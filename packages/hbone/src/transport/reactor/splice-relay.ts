import { EpollEvent, type Pipe, PIPE_BYTES, WOULD_BLOCK } from '@weft/linux';
import type { CancelSignal } from '../cancellation.ts';
import type { ByteCounts, EndName, RelayRecord } from '../relay.ts';
import { END_EVENTS, READ_EVENTS, type Reactor, type ReactorHandler } from './reactor.ts';
import type { ReactorSocket } from './reactor-socket.ts';
import { SendQueue } from './send-queue.ts';

/** Reads in one go, before others get their turn. */
const READS_PER_TURN = 4;
/** A read that brings so much is the first of many: the next go through a pipe. */
const COPY_BYTES = 16 * 1024;

/**
 * `relay` for two plain sockets of one reactor: the same half-closes, counts and failures. Bytes that come in bulk stay
 * in the kernel; for small messages a copy costs less than the two moves and the pipe. The sockets are the relay's from
 * the call on.
 */
export function spliceRelay(
  downstream: ReactorSocket,
  upstream: ReactorSocket,
  counts: RelayRecord,
  signal: CancelSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    new SpliceRelay(downstream, upstream, counts, signal, (error) =>
      error === undefined ? resolve() : reject(error.cause),
    );
  });
}

/** One direction, from a socket to the other, and the handler of the former. What is in the pipe follows on the queue. */
class Direction implements ReactorHandler {
  readonly source: EndName;
  readonly target: EndName;
  readonly counted: keyof ByteCounts;
  readonly from: number;
  readonly to: number;
  readonly queue: SendQueue;
  pipe: Pipe | undefined;
  inPipe = 0;
  isBulk = false;
  /** False: the source has nothing until it says so. */
  readable = true;
  /** Its end may have come already, and no event will tell: so it is, too, of one that was read by nobody yet. */
  endIsNear = true;
  state: 'flowing' | 'source-ended' | 'done' = 'flowing';
  private isAsked = false;
  private readonly relay: SpliceRelay;

  constructor(relay: SpliceRelay, source: EndName, from: ReactorSocket, to: ReactorSocket) {
    this.relay = relay;
    this.source = source;
    this.target = source === 'downstream' ? 'upstream' : 'downstream';
    this.counted = source === 'downstream' ? 'received' : 'sent';
    this.from = from.fd;
    this.to = to.fd;
    this.queue = new SendQueue(from.reactor.io, to.fd);
  }

  get isHeldUp(): boolean {
    return this.inPipe > 0 || this.queue.size > 0;
  }

  /** Once a turn, however many events come. */
  again(reactor: Reactor): void {
    if (this.isAsked) return;
    this.isAsked = true;
    reactor.again(this);
  }

  onEvents(events: number): void {
    this.isAsked &&= events !== 0;
    if ((events & READ_EVENTS) !== 0) this.readable = true;
    if ((events & END_EVENTS) !== 0) this.endIsNear = true;
    this.relay.onSource(this, events);
  }

  onFault(error: unknown): void {
    this.relay.fail(error);
  }
}

class SpliceRelay {
  private readonly reactor: Reactor;
  private readonly counts: RelayRecord;
  private readonly signal: CancelSignal;
  private readonly settle: (error?: { readonly cause: unknown }) => void;
  private readonly down: Direction;
  private readonly up: Direction;
  /** The end that the last system call was about. */
  private touched: EndName = 'downstream';
  private isClosed = false;

  constructor(
    downstream: ReactorSocket,
    upstream: ReactorSocket,
    counts: RelayRecord,
    signal: CancelSignal,
    settle: (error?: { readonly cause: unknown }) => void,
  ) {
    this.reactor = downstream.reactor;
    this.counts = counts;
    this.signal = signal;
    this.settle = settle;
    this.down = new Direction(this, 'downstream', downstream, upstream);
    this.up = new Direction(this, 'upstream', upstream, downstream);
    const ends = [downstream, upstream];
    if (ends.some((end) => end.destroyed)) {
      for (const end of ends) end.abort();
      if (!signal.aborted) counts.failedEnd = downstream.destroyed ? 'downstream' : 'upstream';
      const failure = downstream.failure ?? upstream.failure ?? new Error('closed before its end');
      settle({ cause: signal.aborted ? signal.reason : failure });
      return;
    }
    for (const end of ends) end.detach();
    for (const direction of [this.down, this.up]) {
      this.reactor.register(direction.from, direction);
      direction.again(this.reactor);
    }
    signal.addEventListener('abort', this.onAbort, { once: true });
    if (signal.aborted) this.onAbort();
  }

  private readonly onAbort = (): void => this.fail(this.signal.reason);

  /** Events of one socket: one direction begins there, the other ends there. */
  onSource(direction: Direction, events: number): void {
    if (this.isClosed) return;
    const opposite = direction === this.down ? this.up : this.down;
    try {
      if ((events & EpollEvent.error) !== 0) this.throwPending(direction);
      if (this.pump(direction)) direction.again(this.reactor);
      const hasRoom = (events & EpollEvent.writable) !== 0;
      if (hasRoom && opposite.isHeldUp && this.pump(opposite)) opposite.again(this.reactor);
      if (this.down.state === 'done' && this.up.state === 'done') this.close();
    } catch (error) {
      this.counts.failedEnd ??= this.touched;
      this.fail(error);
    }
  }

  /** True: there may be more to move, and no event will tell. */
  private pump(direction: Direction): boolean {
    for (let read = 0; read < READS_PER_TURN; read++) {
      this.touched = direction.target;
      if (!this.writeOut(direction)) return false;
      if (direction.state === 'source-ended') {
        direction.state = 'done';
        this.reactor.io.shutdownWrite(direction.to);
      }
      if (direction.state === 'done' || !direction.readable) return false;
      this.touched = direction.source;
      if (direction.isBulk) direction.pipe ??= this.reactor.pipes.acquire();
      if (direction.isBulk && direction.pipe !== undefined) this.readInto(direction.pipe, direction);
      else this.copy(direction);
    }
    return true;
  }

  /** False: the target has no room. */
  private writeOut(direction: Direction): boolean {
    const { queue, pipe, to } = direction;
    if (queue.size > 0 && !queue.flush()) return false;
    while (pipe !== undefined && direction.inPipe > 0) {
      const moved = this.reactor.pipes.splice.move(pipe.readEnd, to, direction.inPipe, 'write');
      if (moved === WOULD_BLOCK) return false;
      direction.inPipe -= moved;
    }
    return true;
  }

  /** Into an empty pipe: a full one would be told like a socket without bytes. */
  private readInto(pipe: Pipe, direction: Direction): void {
    const { splice } = this.reactor.pipes;
    const moved = splice.move(direction.from, pipe.writeEnd, PIPE_BYTES, 'read');
    if (moved > 0) {
      direction.isBulk = moved >= COPY_BYTES;
      direction.inPipe = moved;
    }
    this.received(direction, moved);
  }

  private copy(direction: Direction): void {
    const { io, readBuffer } = this.reactor;
    const received = io.receive(direction.from, readBuffer.address, COPY_BYTES);
    this.received(direction, received);
    if (received <= 0) return;
    direction.isBulk = received === COPY_BYTES;
    // Edge-triggered: after a short read the next byte makes an event, but an end that came with this one doesn't.
    if (!direction.isBulk && !direction.endIsNear) direction.readable = false;
    this.touched = direction.target;
    direction.queue.send(readBuffer.address, readBuffer.bytes.subarray(0, received));
  }

  private received(direction: Direction, length: number): void {
    if (length === WOULD_BLOCK) {
      direction.readable = false;
      direction.endIsNear = false;
    } else if (length === 0) direction.state = 'source-ended';
    else this.counts[direction.counted] += length;
  }

  private throwPending({ from, source }: Direction): void {
    const error = this.reactor.io.takeError(from, 'read');
    if (error === undefined) return;
    this.touched = source;
    throw error;
  }

  fail(cause: unknown): void {
    if (this.isClosed) return;
    for (const { from } of [this.down, this.up]) this.reactor.io.resetOnClose(from);
    this.close({ cause });
  }

  private close(error?: { readonly cause: unknown }): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.signal.removeEventListener('abort', this.onAbort);
    for (const { from, queue, pipe, inPipe } of [this.down, this.up]) {
      this.reactor.release(from);
      queue.clear();
      if (pipe !== undefined) this.reactor.pipes.release(pipe, inPipe === 0);
    }
    this.settle(error);
  }
}
