import { needMore, proceed, type ListenerFilter } from './listener-filter.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const METHODS = [
  'ACL',
  'BIND',
  'CHECKOUT',
  'CONNECT',
  'COPY',
  'DELETE',
  'GET',
  'HEAD',
  'LINK',
  'LOCK',
  'M-SEARCH',
  'MERGE',
  'MKACTIVITY',
  'MKCALENDAR',
  'MKCOL',
  'MOVE',
  'NOTIFY',
  'OPTIONS',
  'PATCH',
  'POST',
  'PROPFIND',
  'PROPPATCH',
  'PURGE',
  'PUT',
  'REBIND',
  'REPORT',
  'SEARCH',
  'SOURCE',
  'SUBSCRIBE',
  'TRACE',
  'UNBIND',
  'UNLINK',
  'UNLOCK',
  'UNSUBSCRIBE',
];
const LONGEST_METHOD = 11;
const REQUEST_LINE = /^[A-Z-]+ \S+ HTTP\/1\.([01])\r?$/;

export type SniffedHttp = 'http/1.0' | 'http/1.1' | 'h2c' | 'none' | 'incomplete';

/** What a connection's first bytes are. `incomplete` while they can still become HTTP. */
export function sniffHttp(bytes: Buffer): SniffedHttp {
  const text = bytes.toString('latin1');
  if (PREFACE.startsWith(text)) return text.length === PREFACE.length ? 'h2c' : 'incomplete';
  if (text.startsWith(PREFACE)) return 'h2c';
  const space = text.indexOf(' ');
  if (space < 0) {
    const possible = text.length <= LONGEST_METHOD && METHODS.some((method) => method.startsWith(text));
    return possible ? 'incomplete' : 'none';
  }
  if (!METHODS.includes(text.slice(0, space))) return 'none';
  const end = text.indexOf('\n');
  if (end < 0) return 'incomplete';
  const version = REQUEST_LINE.exec(text.slice(0, end))?.[1];
  if (version === undefined) return 'none';
  return version === '0' ? 'http/1.0' : 'http/1.1';
}

/** Finds out whether a plaintext connection is HTTP, and says so as an application protocol. */
export const httpInspector: ListenerFilter = {
  name: 'envoy.filters.listener.http_inspector',
  inspect: ({ connection: { info }, bytes, final }) => {
    if (info.transportProtocol === 'tls') return proceed;
    const sniffed = sniffHttp(bytes);
    if (sniffed === 'incomplete') return final ? proceed : needMore;
    if (sniffed !== 'none') info.applicationProtocols = [sniffed];
    return proceed;
  },
};
