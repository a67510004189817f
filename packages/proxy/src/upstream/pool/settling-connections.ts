import type { PooledConnection } from './pooled-connection.ts';

/**
 * HTTP/1 connections whose response has just ended. Whether the server closed behind it, the event loop says only when it
 * polls again, and in that poll a client's next request may come first: a request waits until such a poll is over.
 * (Envoy reads a socket to its end before the connection is reused; libuv stops at a short read.)
 *
 *   response ended ─► fresh ─(check phase)─► polled ─(check phase, a poll later)─► settled
 *                       └──────── closed ──────┴─► forgotten
 */
export class SettlingConnections {
  private fresh = new Set<PooledConnection>();
  private polled = new Set<PooledConnection>();
  private turn: NodeJS.Immediate | undefined;
  private readonly onSettled: (connection: PooledConnection) => void;

  constructor(onSettled: (connection: PooledConnection) => void) {
    this.onSettled = onSettled;
  }

  get size(): number {
    return this.fresh.size + this.polled.size;
  }

  add(connection: PooledConnection): void {
    if (this.polled.has(connection)) return;
    this.fresh.add(connection);
    this.turn ??= setImmediate(() => this.nextTurn());
  }

  delete(connection: PooledConnection): void {
    this.fresh.delete(connection);
    this.polled.delete(connection);
  }

  private nextTurn(): void {
    const settled = this.polled;
    this.polled = this.fresh;
    this.fresh = new Set();
    this.turn = this.polled.size > 0 ? setImmediate(() => this.nextTurn()) : undefined;
    for (const connection of settled) this.onSettled(connection);
  }
}
