import { randomBytes } from 'node:crypto';

/** W3C Trace Context, version 00. */
export interface TraceParent {
  readonly traceId: string;
  readonly parentId: string;
  readonly flags: string;
}

const FORM = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/i;

/** A fresh one, not sampled: `00-<32 hex>-<16 hex>-00`. */
export function newTraceparent(): string {
  const id = randomBytes(24).toString('hex');
  return `00-${id.slice(0, 32)}-${id.slice(32)}-00`;
}

/** Undefined for anything but 55 characters of the form. */
export function parseTraceparent(text: string): TraceParent | undefined {
  const [, traceId, parentId, flags] = FORM.exec(text) ?? [];
  if (traceId === undefined || parentId === undefined || flags === undefined) return undefined;
  return { traceId, parentId, flags };
}
