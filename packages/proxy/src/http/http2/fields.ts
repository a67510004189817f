import type { FlatFields, RequestHead, ResponseHead } from '@weft/hbone/http2';
import { HeaderMap } from '../../engine/types.ts';

/** Fields that HTTP/2 doesn't have (RFC 9113 §8.2.2), and `host`, which is `:authority`. */
const omitted: ReadonlySet<string> = new Set([
  'connection',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

export function requestFromHead(head: RequestHead): HeaderMap {
  const headers = new HeaderMap(incoming(head.fields));
  // An upgrade looks like that of HTTP/1 to everyone behind the codec.
  headers.method = head.protocol === undefined ? head.method : 'GET';
  headers.protocol = head.protocol;
  headers.scheme = head.scheme;
  headers.path = head.path;
  if (head.authority !== '') headers.authority = head.authority;
  return headers;
}

export function responseFromHead(head: ResponseHead, protocol: string | undefined): HeaderMap {
  const headers = new HeaderMap(incoming(head.fields));
  headers.status = head.status;
  if (protocol !== undefined && head.status === 200) {
    headers.status = 101;
    headers.protocol = protocol;
  }
  return headers;
}

export function trailersFromFields(fields: FlatFields): HeaderMap {
  return new HeaderMap(incoming(fields));
}

export function requestFields(headers: HeaderMap): string[] {
  const { method = 'GET', authority = '', protocol } = headers;
  const fields =
    method === 'CONNECT' && protocol === undefined
      ? [':method', 'CONNECT', ':authority', authority]
      : [
          ':method',
          protocol === undefined ? method : 'CONNECT',
          ...(protocol === undefined ? [] : [':protocol', protocol]),
          ':scheme',
          headers.scheme ?? 'http',
          ':authority',
          authority,
          ':path',
          headers.path ?? '/',
        ];
  return outgoing(headers, fields);
}

export function responseFields(headers: HeaderMap): string[] {
  const status = headers.status === 101 ? 200 : (headers.status ?? 500);
  return outgoing(headers, [':status', String(status)]);
}

export function trailerFields(headers: HeaderMap): string[] {
  return outgoing(headers, []);
}

/** Without `host`, and with one cookie line: crumbs must be joined where HTTP/1 follows (RFC 9113 §8.2.3). */
function incoming(fields: FlatFields): string[] {
  const kept: string[] = [];
  let cookieAt = -1;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    if (name === 'host') continue;
    if (name === 'cookie') {
      if (cookieAt >= 0) {
        kept[cookieAt] = `${kept[cookieAt]}; ${value}`;
        continue;
      }
      cookieAt = kept.length + 1;
    }
    kept.push(name, value);
  }
  return kept;
}

function outgoing(headers: HeaderMap, fields: string[]): string[] {
  const { flat } = headers;
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = flat[i] ?? '';
    const value = flat[i + 1] ?? '';
    if (omitted.has(name)) continue;
    if (name === 'te' && value !== 'trailers') continue;
    fields.push(name, safeValue(value));
  }
  return fields;
}

// oxlint-disable-next-line no-control-regex -- what would end a field early
const breaking = /[\0\r\n]/g;

/** A filter may have built a value from anything; it must not become two fields on the next HTTP/1 hop. */
function safeValue(value: string): string {
  const safe = breaking.test(value) ? value.replace(breaking, ' ') : value;
  breaking.lastIndex = 0;
  return safe.trim();
}
