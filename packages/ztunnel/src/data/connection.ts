import { Cancellation, type ByteCounts, type CancelSignal } from '@weft/hbone';
import type { ConnectionId, Failure, Order, Question, ToControl } from './messages.ts';

/** Why a connection is cut: the control thread said so, its client is gone, or its pod. */
export class Cut extends Error {
  override readonly name = 'Cut';
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** Connections that one data thread relays at once. */
export const MAX_CONNECTIONS_PER_THREAD = 50_000;
const REPORT_MS = 1_000;
/** Ids of 2^20 threads with 2^33 connections each are safe integers. */
const CONNECTIONS_PER_THREAD = 2 ** 33;

/** Which thread gave out an id. */
export function threadNumberOf(id: ConnectionId): number {
  return Math.floor(id / CONNECTIONS_PER_THREAD);
}

/** Omits a key from each member of a union on its own. */
type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/**
 *     asking ──order──▶ connecting ──▶ relaying ──▶ closed
 *        └────────────────┴── cut, or the client is gone ──┘
 */
export class Connection implements ByteCounts {
  readonly id: ConnectionId;
  readonly askedAtMs = performance.now();
  received = 0;
  sent = 0;
  /** What was reported of both. */
  reported = { received: 0, sent: 0 };
  private readonly cancellation = new Cancellation();
  private give: ((order: Order) => void) | undefined;

  constructor(id: ConnectionId) {
    this.id = id;
  }

  get signal(): CancelSignal {
    return this.cancellation;
  }

  /** Resolves with the control thread's order; rejects when cut meanwhile. */
  order(): Promise<Order> {
    return new Promise((resolve, reject) => {
      if (this.signal.aborted) throw this.signal.reason;
      this.give = resolve;
      this.signal.addEventListener('abort', () => reject(this.signal.reason), { once: true });
    });
  }

  onOrder(order: Order): void {
    this.give?.(order);
    this.give = undefined;
  }

  cut(failure: Failure): void {
    this.cancellation.abort(new Cut(failure));
  }
}

/** The open connections of a data thread, and what the control thread hears of them. */
export class Connections {
  private readonly open = new Map<ConnectionId, Connection>();
  private readonly post: (message: ToControl) => void;
  private readonly firstId: number;
  private nextId: number;
  private timer: NodeJS.Timeout | undefined;
  private onEmpty: (() => void) | undefined;
  private readonly roundTripsMs: number[] = [];

  constructor(threadNumber: number, post: (message: ToControl) => void) {
    this.post = post;
    this.firstId = threadNumber * CONNECTIONS_PER_THREAD;
    this.nextId = this.firstId;
  }

  /** Asks what to do with a new connection; undefined at the limit. */
  ask(question: Without<Question, 'connection'>): Connection | undefined {
    if (this.open.size >= MAX_CONNECTIONS_PER_THREAD) return undefined;
    const connection = new Connection(this.nextId++);
    if (this.nextId >= this.firstId + CONNECTIONS_PER_THREAD) this.nextId = this.firstId;
    this.open.set(connection.id, connection);
    this.post({ ...question, connection: connection.id });
    this.timer ??= setInterval(() => this.report(), REPORT_MS).unref();
    return connection;
  }

  onOrder(id: ConnectionId, order: Order): void {
    const connection = this.open.get(id);
    if (connection === undefined) return;
    this.roundTripsMs.push(performance.now() - connection.askedAtMs);
    connection.onOrder(order);
  }

  /** Because of a policy. */
  cut(id: ConnectionId, why: string): void {
    this.open.get(id)?.cut({ code: 'WEFT1405', message: why, flag: 'DENY' });
  }

  innerPeer({ id }: Connection, identity: string | undefined, baggage: string | undefined): void {
    if (this.open.has(id)) this.post({ kind: 'inner-peer', connection: id, identity, baggage });
  }

  closed(connection: Connection, failure?: Failure): void {
    if (!this.open.delete(connection.id)) return;
    const { id, received, sent } = connection;
    this.post({
      kind: 'closed',
      connection: id,
      received,
      sent,
      ...(failure === undefined ? {} : { failure }),
    });
    if (this.open.size > 0) return;
    this.report();
    clearInterval(this.timer);
    this.timer = undefined;
    this.onEmpty?.();
  }

  get size(): number {
    return this.open.size;
  }

  /** Resolves once no connection is open. */
  empty(): Promise<void> {
    return new Promise((resolve) => {
      if (this.open.size === 0) resolve();
      else this.onEmpty = resolve;
    });
  }

  private report(): void {
    const bytes: number[] = [];
    for (const { id, received, sent, reported } of this.open.values()) {
      if (received === reported.received && sent === reported.sent) continue;
      bytes.push(id, received - reported.received, sent - reported.sent);
      reported.received = received;
      reported.sent = sent;
    }
    if (bytes.length === 0 && this.roundTripsMs.length === 0) return;
    this.post({
      kind: 'report',
      bytes: Float64Array.from(bytes),
      roundTripsMs: Float64Array.from(this.roundTripsMs),
    });
    this.roundTripsMs.length = 0;
  }
}
