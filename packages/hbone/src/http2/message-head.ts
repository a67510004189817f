import type { FlatFields } from './hpack/decoder.ts';

/** The regular fields of a message, as they came and by name. */
export class HeadFields {
  /** In order of the wire. */
  readonly fields: FlatFields;
  private joined: ReadonlyMap<string, string> | undefined;

  constructor(fields: FlatFields) {
    this.fields = fields;
  }

  /** By name; repeated fields are joined (RFC 9110 §5.3, cookies RFC 9113 §8.2.3). */
  get headers(): ReadonlyMap<string, string> {
    this.joined ??= joinFields(this.fields);
    return this.joined;
  }
}

export class RequestHead extends HeadFields {
  readonly method: string;
  readonly authority: string;
  /** Absent on CONNECT, unless it has a protocol. */
  readonly scheme: string | undefined;
  readonly path: string | undefined;
  /** Extended CONNECT (RFC 8441). */
  readonly protocol: string | undefined;

  constructor(pseudo: ReadonlyMap<string, string>, authority: string, fields: FlatFields) {
    super(fields);
    this.method = pseudo.get(':method') ?? '';
    this.authority = authority;
    this.scheme = pseudo.get(':scheme');
    this.path = pseudo.get(':path');
    this.protocol = pseudo.get(':protocol');
  }
}

export class ResponseHead extends HeadFields {
  readonly status: number;

  constructor(status: number, fields: FlatFields) {
    super(fields);
    this.status = status;
  }
}

/** RFC 9113 §8.1.1. */
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
const extendedRequestPseudo: ReadonlySet<string> = new Set([...requestPseudo, ':protocol']);
const responsePseudo: ReadonlySet<string> = new Set([':status']);
const noPseudo: ReadonlySet<string> = new Set();

/** RFC 9113 §8.2.1: a field name has no upper case, no control, space, colon or non-ASCII octet. */
const validName = /^[!-9;-@[-~]+$/;
// oxlint-disable-next-line no-control-regex -- RFC 9113 §8.2.1 forbids exactly these octets
const invalidValue = /[\0\r\n]|^[ \t]|[ \t]$/;
const validMethod = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** No spaces, controls, userinfo or path: RFC 9113 §8.3.1, RFC 3986 §3.2. */
const validAuthority = /^[!-.0-?A-~]+$/;
/** RFC 3986 §3.1. */
const validScheme = /^[A-Za-z][A-Za-z0-9+\-.]*$/;
/** RFC 9113 §8.3.1: a path that starts with `/`, without spaces and controls. */
const validPath = /^\/[!-~\x80-\xff]*$/;

interface SplitFields {
  readonly pseudo: Map<string, string>;
  readonly fields: string[];
}

/**
 * Parses a decoded request. CONNECT has `:method` and `:authority` only (RFC 9113 §8.5), extended CONNECT, where it
 * is enabled, everything and `:protocol` (RFC 8441 §4).
 */
export function parseRequestHead(fields: FlatFields, extendedConnect = false): ParsedHead<RequestHead> {
  const split = splitFields(fields, extendedConnect ? extendedRequestPseudo : requestPseudo);
  if (typeof split === 'string') return malformed(split);
  const { pseudo } = split;
  const method = pseudo.get(':method');
  const authority = pseudo.get(':authority');
  const scheme = pseudo.get(':scheme');
  const path = pseudo.get(':path');
  const protocol = pseudo.get(':protocol');
  if (method === undefined || !validMethod.test(method)) return malformed('no valid :method');
  if (authority !== undefined && !validAuthority.test(authority)) return malformed('invalid :authority');
  if (method === 'CONNECT') {
    if (authority === undefined) return malformed('CONNECT without :authority');
    if (protocol === undefined) {
      if (scheme !== undefined || path !== undefined) return malformed('CONNECT with :scheme or :path');
      return { kind: 'head', head: new RequestHead(pseudo, authority, split.fields) };
    }
  } else if (protocol !== undefined) return malformed(':protocol without CONNECT');
  if (scheme === undefined || !validScheme.test(scheme)) return malformed('no valid :scheme');
  if (path === undefined || path === '') return malformed('no :path');
  if (!validPath.test(path) && !(path === '*' && method === 'OPTIONS')) return malformed('invalid :path');
  const hosts = authority === undefined ? fieldValues(split.fields, 'host') : [];
  // In the place of `:authority` it has to be as clear as one.
  if (hosts.length > 1 || hosts.some((host) => host !== '' && !validAuthority.test(host))) {
    return malformed('invalid host');
  }
  const head = new RequestHead(pseudo, authority ?? hosts[0] ?? '', split.fields);
  return { kind: 'head', head };
}

/** Parses a decoded response, interim ones included. */
export function parseResponseHead(fields: FlatFields): ParsedHead<ResponseHead> {
  const split = splitFields(fields, responsePseudo);
  if (typeof split === 'string') return malformed(split);
  const status = split.pseudo.get(':status');
  if (status === undefined || !/^[1-9]\d\d$/.test(status)) return malformed('no valid :status');
  // RFC 9113 §8.6: HTTP/2 has no 101.
  if (status === '101') return malformed('status 101');
  return { kind: 'head', head: new ResponseHead(Number(status), split.fields) };
}

/** Parses a decoded trailer section (RFC 9113 §8.1). */
export function parseTrailers(fields: FlatFields): ParsedHead<HeadFields> {
  const split = splitFields(fields, noPseudo);
  if (typeof split === 'string') return malformed(split);
  return { kind: 'head', head: new HeadFields(split.fields) };
}

/** The length that a message announces; `invalid` for one that RFC 9110 §8.6 doesn't allow. */
export function contentLength(fields: FlatFields): number | 'invalid' | undefined {
  let length: number | undefined;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (fields[i] !== 'content-length') continue;
    const text = fields[i + 1] ?? '';
    if (!/^\d{1,15}$/.test(text)) return 'invalid';
    const value = Number(text);
    if (length !== undefined && length !== value) return 'invalid';
    length = value;
  }
  return length;
}

function splitFields(fields: FlatFields, allowedPseudo: ReadonlySet<string>): SplitFields | string {
  const pseudo = new Map<string, string>();
  const regular: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    if (invalidValue.test(value)) return `invalid value of ${JSON.stringify(name)}`;
    if (name.startsWith(':')) {
      if (regular.length > 0) return 'pseudo-header behind a regular field';
      if (!allowedPseudo.has(name)) return `unexpected pseudo-header ${JSON.stringify(name)}`;
      if (pseudo.has(name)) return `repeated ${name}`;
      pseudo.set(name, value);
      continue;
    }
    if (!validName.test(name)) return `invalid field name ${JSON.stringify(name)}`;
    if (connectionSpecific.has(name)) return `connection-specific field ${name}`;
    if (name === 'te' && value !== 'trailers') return 'te other than trailers';
    regular.push(name, value);
  }
  return { pseudo, fields: regular };
}

function joinFields(fields: FlatFields): ReadonlyMap<string, string> {
  const joined = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    const before = joined.get(name);
    joined.set(name, before === undefined ? value : `${before}${name === 'cookie' ? '; ' : ', '}${value}`);
  }
  return joined;
}

function fieldValues(fields: FlatFields, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === name) values.push(fields[i + 1] ?? '');
  return values;
}

function malformed(reason: string): { kind: 'malformed'; reason: string } {
  return { kind: 'malformed', reason };
}
