import { listTokens } from './head.ts';
import { codecError, Http1Error } from './error.ts';

/** How a body is delimited (RFC 9112 §6). */
export type BodyFraming =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  /** A response that ends with the connection. */
  | { readonly kind: 'close' }
  /** Bytes of another protocol may follow: wait for the answer. */
  | { readonly kind: 'held' };

export const NO_BODY: BodyFraming = { kind: 'none' };

export interface FramedFields {
  /** Without the fields that concern this connection only. */
  readonly fields: string[];
  readonly host: readonly string[];
  /** Undefined: nothing is said about the length. */
  readonly framing: BodyFraming | undefined;
  readonly connection: ReadonlySet<string>;
  /** The token of `upgrade`, when `connection` names it. */
  readonly upgrade: string | undefined;
}

/** Fields for one hop, whatever `connection` says (RFC 9110 §7.6.1). */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);
/** `connection` can't make these disappear: they decide who is asked for what. */
const endToEnd: ReadonlySet<string> = new Set(['content-length', 'cookie', 'authorization', 'host']);

/**
 * Decides from the fields where the body ends, refusing everything that another parser could see differently.
 * @throws Http1Error
 */
export function frameFields(
  all: readonly string[],
  o: { readonly minor: 0 | 1; readonly allowChunkedLength: boolean },
): FramedFields {
  const host: string[] = [];
  const lengths: string[] = [];
  const codings: string[] = [];
  const connectionValues: string[] = [];
  let upgradeValue: string | undefined;
  for (let i = 0; i < all.length; i += 2) {
    const value = all[i + 1] ?? '';
    switch (all[i]) {
      case 'host':
        host.push(value);
        break;
      case 'content-length':
        lengths.push(value);
        break;
      case 'transfer-encoding':
        codings.push(value);
        break;
      case 'connection':
        connectionValues.push(value);
        break;
      case 'upgrade':
        upgradeValue = upgradeValue === undefined ? value : `${upgradeValue},${value}`;
    }
  }
  const connection = new Set(listTokens(connectionValues));
  const framing = bodyFraming(lengths, codings, o);
  const dropLength = framing?.kind === 'chunked';
  const fields: string[] = [];
  for (let i = 0; i < all.length; i += 2) {
    const name = all[i] ?? '';
    const value = all[i + 1] ?? '';
    if (name === 'host' || hopByHop.has(name)) continue;
    if (connection.has(name) && !endToEnd.has(name) && name !== 'te') continue;
    if (dropLength && name === 'content-length') continue;
    if (name === 'te') {
      if (listTokens([value]).includes('trailers')) fields.push('te', 'trailers');
      continue;
    }
    fields.push(name, value);
  }
  const upgrade =
    upgradeValue !== undefined && connection.has('upgrade') && upgradeValue.toLowerCase() !== 'h2c'
      ? upgradeValue
      : undefined;
  return { fields, host, framing, connection, upgrade };
}

function bodyFraming(
  lengths: readonly string[],
  codings: readonly string[],
  o: { readonly minor: 0 | 1; readonly allowChunkedLength: boolean },
): BodyFraming | undefined {
  if (codings.length > 0) {
    // RFC 9112 §6.1: in an HTTP/1.0 message it is faulty framing.
    if (o.minor === 0) throw codecError();
    if (lengths.length > 0 && !o.allowChunkedLength) {
      throw new Http1Error('http1.content_length_and_chunked_not_allowed');
    }
    if (codings.length > 1 || codings[0]?.toLowerCase() !== 'chunked') {
      throw new Http1Error('http1.invalid_transfer_encoding', 501);
    }
    return { kind: 'chunked' };
  }
  if (lengths.length === 0) return undefined;
  const length = lengths[0] ?? '';
  // Even equal duplicates: a hop that takes the other one is a hop too many.
  if (lengths.length > 1 || !/^\d{1,15}$/.test(length)) throw codecError();
  return { kind: 'length', bytes: Number(length) };
}
