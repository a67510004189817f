/** Bytes that all tunnels of a process may hold undelivered before connection credit waits for delivery. */
export const DEFAULT_RECEIVE_BUDGET_BYTES = 64 * 1024 * 1024;

export interface CreditHolder {
  /** The budget has room again: return the connection credit that was withheld. */
  releaseWithheldCredit(): void;
}

/**
 * Decides when connection-level credit goes back to a peer. Below the limit it does so on receipt, so that a stalled
 * stream costs only its own stream window and never blocks its neighbours on the same tunnel; above it, on delivery,
 * so that memory is bounded by the limit plus one connection window a tunnel.
 */
export class ReceiveBudget {
  private readonly limit: number;
  private readonly waiting = new Set<CreditHolder>();
  /** Bytes received and not yet delivered. */
  queuedBytes = 0;

  constructor(limit = DEFAULT_RECEIVE_BUDGET_BYTES) {
    this.limit = limit;
  }

  get hasRoom(): boolean {
    return this.queuedBytes <= this.limit;
  }

  add(bytes: number): void {
    this.queuedBytes += bytes;
  }

  remove(bytes: number): void {
    this.queuedBytes -= bytes;
    if (this.waiting.size === 0 || !this.hasRoom) return;
    for (const holder of this.waiting) holder.releaseWithheldCredit();
    this.waiting.clear();
  }

  wait(holder: CreditHolder): void {
    this.waiting.add(holder);
  }

  forget(holder: CreditHolder): void {
    this.waiting.delete(holder);
  }
}
