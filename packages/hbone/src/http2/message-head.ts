import type { FlatFields } from './hpack/decoder.ts';

export interface RequestHead {
  readonly method: string;
  readonly authority: string;
  /** Absent on CONNECT. */
  readonly scheme?: string;
  readonly path?: string;
  readonly headers: ReadonlyMap<string, string>;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
}

/** A malformed message is a stream error of type PROTOCOL_ERROR (RFC 9113 §8.1.1). */
export type ParsedHead<Head> =
  | { readonly kind: 'head'; readonly head: Head }
  | { readonly kind: 'malformed'; readonly reason: string };

const connectionSpecific: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
]);
const requestPseudo: ReadonlySet<string> = new Set([':method', ':scheme', ':authority', ':path']);
const responsePseudo: ReadonlySet<string> = new Set([':status']);

/** RFC 9113 §8.2.1: a field name has no upper case, no control, space, colon or non-ASCII octet. */
const validName = /^[!-9;-@[-~]+$/;
// oxlint-disable-next-line no-control-regex -- RFC 9113 §8.2.1 forbids exactly these octets
const invalidValue = /[\0\r\n]|^[ \t]|[ \t]$/;
const validMethod = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** No spaces, controls, userinfo or path: RFC 9113 §8.3.1, RFC 3986 §3.2. */
const validAuthority = /^[!-.0-?A-~]+$/;

interface SplitFields {
  readonly pseudo: Map<string, string>;
  readonly headers: Map<string, string>;
}

/** Parses a decoded request. CONNECT has `:method` and `:authority` only (RFC 9113 §8.5). */
export function parseRequestHead(fields: FlatFields): ParsedHead<RequestHead> {
  const split = splitFields(fields, requestPseudo);
  if (typeof split === 'string') return malformed(split);
  const { pseudo, headers } = split;
  const method = pseudo.get(':method');
  const authority = pseudo.get(':authority');
  const scheme = pseudo.get(':scheme');
  const path = pseudo.get(':path');
  if (method === undefined || !validMethod.test(method)) return malformed('no valid :method');
  if (authority !== undefined && !validAuthority.test(authority)) return malformed('invalid :authority');
  if (method === 'CONNECT') {
    if (scheme !== undefined || path !== undefined) return malformed('CONNECT with :scheme or :path');
    if (authority === undefined) return malformed('CONNECT without :authority');
    return { kind: 'head', head: { method, authority, headers } };
  }
  if (scheme === undefined || scheme === '') return malformed('no :scheme');
  if (path === undefined || path === '') return malformed('no :path');
  return {
    kind: 'head',
    head: { method, authority: authority ?? headers.get('host') ?? '', scheme, path, headers },
  };
}

/** Parses a decoded response, interim ones included. */
export function parseResponseHead(fields: FlatFields): ParsedHead<ResponseHead> {
  const split = splitFields(fields, responsePseudo);
  if (typeof split === 'string') return malformed(split);
  const status = split.pseudo.get(':status');
  if (status === undefined || !/^[1-9]\d\d$/.test(status)) return malformed('no valid :status');
  // RFC 9113 §8.6: HTTP/2 has no 101.
  if (status === '101') return malformed('status 101');
  return { kind: 'head', head: { status: Number(status), headers: split.headers } };
}

function splitFields(fields: FlatFields, allowedPseudo: ReadonlySet<string>): SplitFields | string {
  const pseudo = new Map<string, string>();
  const headers = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    if (invalidValue.test(value)) return `invalid value of ${JSON.stringify(name)}`;
    if (name.startsWith(':')) {
      if (headers.size > 0) return 'pseudo-header behind a regular field';
      if (!allowedPseudo.has(name)) return `unexpected pseudo-header ${JSON.stringify(name)}`;
      if (pseudo.has(name)) return `repeated ${name}`;
      pseudo.set(name, value);
      continue;
    }
    if (!validName.test(name)) return `invalid field name ${JSON.stringify(name)}`;
    if (connectionSpecific.has(name)) return `connection-specific field ${name}`;
    if (name === 'te' && value !== 'trailers') return 'te other than trailers';
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}${name === 'cookie' ? '; ' : ', '}${value}`);
  }
  return { pseudo, headers };
}

function malformed(reason: string): { kind: 'malformed'; reason: string } {
  return { kind: 'malformed', reason };
}
