import { inspect } from 'node:util';
import { errorCodes, type ErrorCode } from './error-codes/index.ts';

export interface ErrorCodeEntry {
  /** The part of the mesh that failed: `config`, `hbone`, `policy`… */
  readonly layer: string;
  readonly title: string;
  /** What the user should do next, as one sentence. */
  readonly next: string;
}
export type ErrorCodeTable = Readonly<Record<`WEFT${number}`, ErrorCodeEntry>>;

const brand = Symbol.for('weft.error');

/** Every error that a user can meet. `code` is stable; `message` says what happened and where. */
export class WeftError extends Error {
  readonly [brand] = true;
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'WeftError';
    this.code = code;
  }

  get layer(): string {
    return errorCodes[this.code].layer;
  }

  /** The catalogue's advice for this code. */
  get next(): string {
    return errorCodes[this.code].next;
  }

  /** True for errors of any copy of this module, which `instanceof` is not. */
  static is(value: unknown): value is WeftError {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

/** The message of anything that was thrown, with its causes: `a: b: c`. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let e: unknown = error, depth = 0; e !== undefined && e !== null && depth < 8; depth++) {
    if (typeof e === 'object' && 'message' in e && typeof e.message === 'string') {
      const code = WeftError.is(e) ? `${e.code} ` : '';
      parts.push(`${code}${e.message || ('code' in e ? String(e.code) : 'unknown error')}`);
      e = 'cause' in e ? e.cause : undefined;
    } else {
      parts.push(typeof e === 'string' ? e : inspect(e, { depth: 1, breakLength: Number.POSITIVE_INFINITY }));
      break;
    }
  }
  return parts.join(': ');
}

/** `code` of a Node system error (`ECONNREFUSED`), or undefined. Realm-safe, unlike `instanceof Error`. */
export function systemErrorCode(error: unknown): string | undefined {
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string') {
    return error.code;
  }
  return undefined;
}
