import { randomBytes } from 'node:crypto';

/** A fresh one of W3C Trace Context, version 00, not sampled: `00-<32 hex>-<16 hex>-00`. Nobody reads a peer's. */
export function newTraceparent(): string {
  const id = randomBytes(24).toString('hex');
  return `00-${id.slice(0, 32)}-${id.slice(32)}-00`;
}
