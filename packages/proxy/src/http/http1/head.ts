import { codecError, Http1Error } from './error.ts';

/** RFC 9110 §5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// oxlint-disable-next-line no-control-regex -- RFC 9110 §5.5: what a field value can't have
const invalidValue = /[\0-\x08\x0a-\x1f\x7f]/;
/** RFC 9112 §3.2: no white space or control, and nothing that RFC 3986 doesn't know. */
const validTarget = /^[!-~]+$/;
/** RFC 3986 §3.2 without userinfo, which RFC 9110 §4.2.4 tells to take for an error. */
const validHost = /^(?:\[[0-9A-Fa-f:.%A-Za-z_~-]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?::\d*)?$/;

/** Registered methods (IANA); whatever else stands there is no request. */
const methods: ReadonlySet<string> = new Set(
  (
    'ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE MKACTIVITY ' +
    'MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE M-SEARCH NOTIFY OPTIONS ORDERPATCH PATCH POST PRI PROPFIND ' +
    'PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNCHECKOUT UNLINK UNLOCK ' +
    'UNSUBSCRIBE UPDATE UPDATEREDIRECTREF VERSION-CONTROL'
  ).split(' '),
);

export interface RequestLine {
  readonly method: string;
  readonly target: string;
  readonly minor: 0 | 1;
}

/** @throws Http1Error */
export function parseRequestLine(line: string): RequestLine {
  const first = line.indexOf(' ');
  if (first <= 0) throw codecError();
  const method = line.slice(0, first);
  if (!methods.has(method) || method === 'PRI') throw codecError();
  const second = line.indexOf(' ', first + 1);
  // HTTP/0.9 has no version.
  if (second < 0) throw new Http1Error('low_version', 426);
  const target = line.slice(first + 1, second);
  const minor = parseVersion(line.slice(second + 1));
  if (!validTarget.test(target)) throw codecError();
  return { method, target, minor };
}

export interface StatusLine {
  readonly status: number;
  readonly minor: 0 | 1;
}

/** @throws Http1Error */
export function parseStatusLine(line: string): StatusLine {
  const match = /^(HTTP\/\d\.\d) ([1-9]\d\d)(?: .*)?$/.exec(line);
  if (match === null) throw codecError();
  return { minor: parseVersion(match[1] ?? ''), status: Number(match[2]) };
}

function parseVersion(text: string): 0 | 1 {
  if (text === 'HTTP/1.1') return 1;
  if (text === 'HTTP/1.0') return 0;
  if (/^HTTP\/\d\.\d$/.test(text)) throw new Http1Error('low_version', 426);
  throw codecError();
}

export type RequestTarget =
  | { readonly form: 'origin'; readonly path: string }
  | { readonly form: 'absolute'; readonly scheme: string; readonly authority: string; readonly path: string }
  | { readonly form: 'authority'; readonly authority: string };

/** RFC 9112 §3.2. @throws Http1Error */
export function parseTarget(method: string, target: string): RequestTarget {
  if (method === 'CONNECT') {
    checkHost(target);
    if (!/:\d+$/.test(target)) throw codecError();
    return { form: 'authority', authority: target };
  }
  if (target.startsWith('/') || (target === '*' && method === 'OPTIONS'))
    return { form: 'origin', path: target };
  const absolute = /^(https?):\/\/([^/?#]+)(.*)$/i.exec(target);
  if (absolute === null) throw codecError();
  const [, scheme = '', authority = '', rest = ''] = absolute;
  checkHost(authority);
  const path = rest.startsWith('/') ? rest : `/${rest}`;
  return { form: 'absolute', scheme: scheme.toLowerCase(), authority, path };
}

/** An empty host is valid (RFC 9112 §3.2). @throws Http1Error */
export function checkHost(host: string): void {
  if (!validHost.test(host)) throw codecError();
}

/**
 * Parses header or trailer lines: names in lower case and values, alternating. Line ends are CRLF or LF; folded lines
 * are joined by a space (RFC 9112 §5.2). @throws Http1Error
 */
export function parseFields(
  text: string,
  start: number,
  maxFields: number,
  spelling?: Map<string, string>,
): string[] {
  const fields: string[] = [];
  let at = start;
  while (at < text.length) {
    let end = text.indexOf('\n', at);
    if (end < 0) end = text.length;
    let line = text.slice(at, text.charCodeAt(end - 1) === CR ? end - 1 : end);
    at = end + 1;
    // RFC 9112 §2.2 lets a bare CR be replaced; here it goes, so that no later hop can take it for a line end.
    if (line.includes('\r')) line = line.replaceAll('\r', '');
    if (line.length === 0) continue;
    const first = line.charCodeAt(0);
    if (first === SPACE || first === TAB) {
      if (fields.length === 0) throw codecError();
      const folded = line.trim();
      checkValue(folded);
      const last = fields.length - 1;
      fields[last] = `${fields[last]} ${folded}`.trim();
      continue;
    }
    const colon = line.indexOf(':');
    if (colon <= 0) throw codecError();
    const name = line.slice(0, colon);
    if (!token.test(name)) throw codecError();
    const value = trimBlank(line, colon + 1);
    checkValue(value);
    const lower = name.toLowerCase();
    if (spelling?.has(lower) === false) spelling.set(lower, name);
    fields.push(lower, value);
    if (fields.length > maxFields * 2) throw new Http1Error('http1.too_many_headers', 431);
  }
  return fields;
}

const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;

function checkValue(value: string): void {
  if (invalidValue.test(value)) throw new Http1Error('http1.invalid_characters');
}

/** Not `trim`, which would take away more than RFC 9110 §5.6.3 calls white space. */
function trimBlank(text: string, start: number): string {
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** Tokens of a comma-separated list, in lower case. */
export function listTokens(values: readonly string[]): string[] {
  return values
    .flatMap((value) => value.split(',').map((part) => part.trim().toLowerCase()))
    .filter((t) => t !== '');
}
