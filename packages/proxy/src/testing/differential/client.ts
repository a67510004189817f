import { connect } from 'node:net';
import { TIMEOUT_MS, type Exchange, type Fields, type TestRequest, type TestResponse } from './exchange.ts';
import { overHttp2 } from './http2.ts';

/** How long to listen on for further responses on a connection that was given raw bytes. */
const SILENCE_MS = 120;
/** How long to wait for the end of a connection whose last response said that it would come. */
const CLOSE_MS = TIMEOUT_MS - 1_000;

/** All values of each name, as Node takes repeated fields. */
export function grouped(fields: Fields): Record<string, string[]> {
  const byName: Record<string, string[]> = {};
  for (const [name, value] of fields) (byName[name] ??= []).push(value);
  return byName;
}

export async function exchange(port: number, request: TestRequest, identity: Fields): Promise<Exchange> {
  return request.protocol === 'http1' || request.raw !== undefined
    ? overHttp1(port, request, identity)
    : overHttp2(port, request, identity);
}

function requestText(request: TestRequest, identity: Fields): string {
  const lines = (fields: Fields): string => fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  if (request.raw !== undefined) return request.raw.replaceAll('$ID', lines(identity));
  const { method, path, host, headers, body, chunked = false, trailers = [] } = request;
  const framing =
    body === undefined
      ? ''
      : chunked
        ? 'transfer-encoding: chunked\r\n'
        : `content-length: ${Buffer.byteLength(body, 'latin1')}\r\n`;
  const text = (body ?? '').length === 0 ? '' : `${(body ?? '').length.toString(16)}\r\n${body}\r\n`;
  const content = body === undefined ? '' : chunked ? `${text}0\r\n${lines(trailers)}\r\n` : body;
  return `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n${lines(identity)}${lines(headers)}${framing}\r\n${content}`;
}

async function overHttp1(port: number, request: TestRequest, identity: Fields): Promise<Exchange> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    let received = '';
    let silence: NodeJS.Timeout | undefined;
    const finish = (end: Exchange['end']): void => {
      clearTimeout(timer);
      clearTimeout(silence);
      socket.destroy();
      resolve({ responses: parseResponses(received, request.method, end === 'closed').responses, end });
    };
    const timer = setTimeout(() => finish('timeout'), TIMEOUT_MS);
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      const { complete, responses } = parseResponses(received, request.method, false);
      if (!complete) return;
      if (request.raw === undefined) return finish('complete');
      const willClose = responses
        .at(-1)
        ?.headers.some(([name, value]) => name === 'connection' && value === 'close');
      clearTimeout(silence);
      silence = setTimeout(() => finish('complete'), willClose === true ? CLOSE_MS : SILENCE_MS);
    });
    socket.on('error', () => undefined);
    socket.once('close', () => finish('closed'));
    socket.write(requestText(request, identity), 'latin1');
  });
}

/** As many responses as the text has; `complete` when nothing of one is left over. */
function parseResponses(
  text: string,
  method: string,
  closed: boolean,
): { readonly responses: readonly TestResponse[]; readonly complete: boolean } {
  const responses: TestResponse[] = [];
  let interim: number[] = [];
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) break;
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n');
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) break;
    const headers = lines.map(field);
    rest = rest.slice(end + 4);
    if (status < 200 && status !== 101) {
      interim.push(status);
      continue;
    }
    const { body, trailers, left, cut } = takeBody(rest, method, status, headers);
    if (cut && !closed) return { responses, complete: false };
    responses.push({ interim, status, headers, body, trailers, cut });
    interim = [];
    rest = left;
  }
  return { responses, complete: rest === '' && responses.length > 0 };
}

function field(line: string): readonly [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

function takeBody(
  text: string,
  method: string,
  status: number,
  headers: Fields,
): { readonly body: string; readonly trailers: Fields; readonly left: string; readonly cut: boolean } {
  const value = (name: string): string | undefined => headers.find(([key]) => key === name)?.[1];
  if (method === 'HEAD' || status === 204 || status === 304)
    return { body: '', trailers: [], left: text, cut: false };
  if (value('transfer-encoding') === 'chunked') return takeChunks(text);
  const length = value('content-length');
  if (length === undefined) return { body: text, trailers: [], left: '', cut: true };
  const body = text.slice(0, Number(length));
  return { body, trailers: [], left: text.slice(Number(length)), cut: body.length < Number(length) };
}

function takeChunks(text: string): ReturnType<typeof takeBody> {
  let body = '';
  let rest = text;
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/i.exec(rest);
    if (size === null) return { body, trailers: [], left: '', cut: true };
    const start = size[0].length;
    const length = Number.parseInt(size[1] ?? '', 16);
    if (length === 0) {
      if (rest.startsWith('\r\n', start))
        return { body, trailers: [], left: rest.slice(start + 2), cut: false };
      const end = rest.indexOf('\r\n\r\n', start);
      if (end === -1) return { body, trailers: [], left: '', cut: true };
      const trailers = rest.slice(start, end).split('\r\n').map(field);
      return { body, trailers, left: rest.slice(end + 4), cut: false };
    }
    body += rest.slice(start, start + length);
    rest = rest.slice(start + length + 2);
  }
}

/** Names and values one after the other, as Node keeps them. */
export function rawPairs(raw: readonly string[] = []): Fields {
  const out: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) out.push([(raw[i] ?? '').toLowerCase(), raw[i + 1] ?? '']);
  return out;
}
