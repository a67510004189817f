import { BatchPool } from '../http2/output.ts';
import { ReceiveBudget } from '../http2/receive-budget.ts';

/** What all tunnels of a process share: memory for batches, and the bound on undelivered bytes. */
export class TunnelResources {
  readonly batches: BatchPool;
  readonly budget: ReceiveBudget;

  constructor(o: { readonly receiveBudgetBytes?: number; readonly maxFreeBatches?: number } = {}) {
    this.batches = new BatchPool(o.maxFreeBatches);
    this.budget = new ReceiveBudget(o.receiveBudgetBytes);
  }
}
