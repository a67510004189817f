import { randomFillSync } from 'node:crypto';

const ID_BYTES = 24;
/** Randomness is asked for in bulk: a call costs more than the bytes. */
const pool = Buffer.alloc(ID_BYTES * 128);
let used = pool.length;

/** A fresh one of W3C Trace Context, version 00, not sampled: `00-<32 hex>-<16 hex>-00`. Nobody reads a peer's. */
export function newTraceparent(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const id = pool.toString('hex', used, (used += ID_BYTES));
  return `00-${id.slice(0, 32)}-${id.slice(32)}-00`;
}
