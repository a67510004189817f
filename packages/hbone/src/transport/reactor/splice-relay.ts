import { EpollEvent, type Pipe, PIPE_BYTES, WOULD_BLOCK } from '@weft/linux';
import type { ByteCounts, EndName, RelayRecord } from '../relay.ts';
import type { Reactor, ReactorHandler } from './reactor.ts';
import type { ReactorSocket } from './reactor-socket.ts';

/** Pipes filled in one go, before others get their turn. */
const FILLS_PER_TURN = 4;

/** One direction: from a socket through a pipe to the other. */
interface Direction {
  readonly source: EndName;
  readonly from: number;
  readonly to: number;
  readonly pipe: Pipe;
  readonly counted: keyof ByteCounts;
  inPipe: number;
  state: 'flowing' | 'source-ended' | 'done';
}

/**
 * `relay` for two plain sockets of one reactor, whose bytes stay in the kernel: the same half-closes, counts and
 * failures. The sockets are the relay's from the call on.
 */
export function spliceRelay(
  downstream: ReactorSocket,
  upstream: ReactorSocket,
  counts: RelayRecord,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    new SpliceRelay(downstream, upstream, counts, signal, (error) =>
      error === undefined ? resolve() : reject(error.cause),
    );
  });
}

class SpliceRelay implements ReactorHandler {
  private readonly reactor: Reactor;
  private readonly sockets: readonly [number, number];
  private readonly counts: RelayRecord;
  private readonly signal: AbortSignal;
  private readonly settle: (error?: { readonly cause: unknown }) => void;
  private readonly directions: Direction[] = [];
  /** The one that is being pumped, or was last. */
  private current: Direction | undefined;
  private isClosed = false;

  constructor(
    downstream: ReactorSocket,
    upstream: ReactorSocket,
    counts: RelayRecord,
    signal: AbortSignal,
    settle: (error?: { readonly cause: unknown }) => void,
  ) {
    this.reactor = downstream.reactor;
    this.sockets = [downstream.fd, upstream.fd];
    this.counts = counts;
    this.signal = signal;
    this.settle = settle;
    const ends = [downstream, upstream];
    if (ends.some((end) => end.destroyed)) {
      for (const end of ends) end.abort();
      if (!signal.aborted) counts.failedEnd = downstream.destroyed ? 'downstream' : 'upstream';
      const failure = downstream.failure ?? upstream.failure ?? new Error('closed before its end');
      settle({ cause: signal.aborted ? signal.reason : failure });
      return;
    }
    for (const end of ends) end.detach();
    for (const fd of this.sockets) this.reactor.register(fd, this);
    signal.addEventListener('abort', this.onAbort, { once: true });
    try {
      this.addDirection('downstream', downstream.fd, upstream.fd);
      this.addDirection('upstream', upstream.fd, downstream.fd);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (signal.aborted) this.onAbort();
    else this.reactor.again(this);
  }

  private addDirection(source: EndName, from: number, to: number): void {
    const pipe = this.reactor.pipes.acquire();
    const counted = source === 'downstream' ? 'received' : 'sent';
    this.directions.push({ source, from, to, pipe, counted, inPipe: 0, state: 'flowing' });
  }

  private readonly onAbort = (): void => this.fail(this.signal.reason);

  /** Of either socket; a try in vain costs one system call. */
  onEvents(events: number): void {
    if (this.isClosed) return;
    try {
      if ((events & EpollEvent.error) !== 0) this.throwPending();
      let isUnfinished = false;
      for (const direction of this.directions) {
        this.current = direction;
        isUnfinished = this.pump(direction) || isUnfinished;
      }
      if (this.directions.every(({ state }) => state === 'done')) this.close();
      else if (isUnfinished) this.reactor.again(this);
    } catch (error) {
      this.counts.failedEnd ??= this.touched();
      this.fail(error);
    }
  }

  /** The end that the last system call was about: what is in the pipe is on its way out of it. */
  private touched(): EndName | undefined {
    const { source, inPipe } = this.current ?? {};
    if (inPipe === undefined || inPipe === 0) return source;
    return source === 'downstream' ? 'upstream' : 'downstream';
  }

  onFault(error: unknown): void {
    this.fail(error);
  }

  /** True: there may be more to move, and no event will tell. */
  private pump(direction: Direction): boolean {
    const { from, to, pipe } = direction;
    const { splice } = this.reactor.pipes;
    for (let fill = 0; fill < FILLS_PER_TURN; fill++) {
      // Only into an empty pipe: a full one would be told like a socket without bytes.
      if (direction.inPipe === 0 && direction.state === 'flowing') {
        const moved = splice.move(from, pipe.writeEnd, PIPE_BYTES, 'read');
        if (moved === WOULD_BLOCK) return false;
        if (moved === 0) direction.state = 'source-ended';
        direction.inPipe = moved;
        this.counts[direction.counted] += moved;
      }
      while (direction.inPipe > 0) {
        const moved = splice.move(pipe.readEnd, to, direction.inPipe, 'write');
        if (moved === WOULD_BLOCK) return false;
        direction.inPipe -= moved;
      }
      if (direction.state === 'source-ended') {
        direction.state = 'done';
        this.reactor.io.shutdownWrite(to);
      }
      if (direction.state === 'done') return false;
    }
    return true;
  }

  private throwPending(): void {
    for (const [i, fd] of this.sockets.entries()) {
      const error = this.reactor.io.takeError(fd, 'read');
      if (error === undefined) continue;
      this.counts.failedEnd = i === 0 ? 'downstream' : 'upstream';
      throw error;
    }
  }

  private fail(cause: unknown): void {
    if (this.isClosed) return;
    for (const fd of this.sockets) this.reactor.io.resetOnClose(fd);
    this.close({ cause });
  }

  private close(error?: { readonly cause: unknown }): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.signal.removeEventListener('abort', this.onAbort);
    for (const fd of this.sockets) this.reactor.release(fd);
    for (const { pipe, inPipe } of this.directions) this.reactor.pipes.release(pipe, inPipe === 0);
    this.settle(error);
  }
}
