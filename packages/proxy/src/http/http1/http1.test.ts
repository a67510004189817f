import { describe, expect, it } from '@jest/globals';
import { HeaderMap } from '../../engine/types.ts';
import type { BadRequest, HttpCodecOptions, HttpServerStream } from '../codec.ts';
import { connectionPair, RawPeer, settle } from '../testing/raw-connection.ts';
import { Recorder } from '../testing/recorder.ts';
import { createHttp1ClientCodec } from './client.ts';
import { createHttp1ServerCodec } from './server.ts';

class Server {
  readonly requests: { readonly stream: HttpServerStream; readonly events: Recorder }[] = [];
  readonly refused: BadRequest[] = [];
  readonly peer: RawPeer;
  readonly codec;
  answer: ((stream: HttpServerStream, events: Recorder) => void) | undefined;

  constructor(options: HttpCodecOptions = {}) {
    const { client, server } = connectionPair();
    this.peer = new RawPeer(client);
    this.codec = createHttp1ServerCodec(
      server,
      {
        onStream: (stream) => {
          const events = new Recorder();
          this.requests.push({ stream, events });
          queueMicrotask(() => this.answer?.(stream, events));
          return events;
        },
        onBadRequest: (stream, error) => {
          this.refused.push(error);
          stream.sendHeaders(HeaderMap.response(error.status), true);
        },
        onActiveStreams: () => undefined,
        onClose: () => undefined,
      },
      options,
    );
  }

  async send(text: string): Promise<this> {
    this.peer.send(text);
    await settle();
    return this;
  }
}

const HOST = 'Host: a\r\n';
const ok = (body = ''): HeaderMap => HeaderMap.response(200, { 'content-length': String(body.length) });

describe('the HTTP/1 server codec', () => {
  it.each<[name: string, request: string, status: number, details: string]>([
    [
      'content-length beside chunked',
      `POST / HTTP/1.1\r\n${HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      'http1.content_length_and_chunked_not_allowed',
    ],
    [
      'two content-lengths',
      `POST / HTTP/1.1\r\n${HOST}Content-Length: 4\r\nContent-Length: 5\r\n\r\n`,
      400,
      'http1.codec_error',
    ],
    [
      'two equal content-lengths',
      `POST / HTTP/1.1\r\n${HOST}Content-Length: 4\r\nContent-Length: 4\r\n\r\n`,
      400,
      'http1.codec_error',
    ],
    [
      'a listed content-length',
      `POST / HTTP/1.1\r\n${HOST}Content-Length: 4, 4\r\n\r\n`,
      400,
      'http1.codec_error',
    ],
    [
      'a signed content-length',
      `POST / HTTP/1.1\r\n${HOST}Content-Length: +4\r\n\r\n`,
      400,
      'http1.codec_error',
    ],
    [
      'a hexadecimal content-length',
      `POST / HTTP/1.1\r\n${HOST}Content-Length: 0x4\r\n\r\n`,
      400,
      'http1.codec_error',
    ],
    [
      'an unknown transfer coding',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip\r\n\r\n`,
      501,
      'http1.invalid_transfer_encoding',
    ],
    [
      'chunked twice',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, chunked\r\n\r\n`,
      501,
      'http1.invalid_transfer_encoding',
    ],
    [
      'two transfer-encodings',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n`,
      501,
      'http1.invalid_transfer_encoding',
    ],
    [
      'a transfer coding hidden by a blank',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding : chunked\r\n\r\n`,
      400,
      'http1.codec_error',
    ],
    ['a bad name', `GET / HTTP/1.1\r\n${HOST}a b: 1\r\n\r\n`, 400, 'http1.codec_error'],
    ['an empty name', `GET / HTTP/1.1\r\n${HOST}: 1\r\n\r\n`, 400, 'http1.codec_error'],
    ['a line without colon', `GET / HTTP/1.1\r\n${HOST}abc\r\n\r\n`, 400, 'http1.codec_error'],
    ['a fold before any field', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400, 'http1.codec_error'],
    ['NUL in a value', `GET / HTTP/1.1\r\n${HOST}a: x\0y\r\n\r\n`, 400, 'http1.invalid_characters'],
    ['an unknown method', `BREW / HTTP/1.1\r\n${HOST}\r\n`, 400, 'http1.codec_error'],
    ['a lower-case method', `get / HTTP/1.1\r\n${HOST}\r\n`, 400, 'http1.codec_error'],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', 400, 'missing_host_header'],
    ['two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400, 'http1.codec_error'],
    ['a host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400, 'http1.codec_error'],
    ['a host with userinfo', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n', 400, 'http1.codec_error'],
    ['HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 426, 'low_version'],
    ['HTTP/0.9', 'GET /\r\n\r\n', 426, 'low_version'],
    ['HTTP/1.2', `GET / HTTP/1.2\r\n${HOST}\r\n`, 426, 'low_version'],
    ['a relative target', `GET a HTTP/1.1\r\n${HOST}\r\n`, 400, 'http1.codec_error'],
    ['a blank in the target', `GET /a b HTTP/1.1\r\n${HOST}\r\n`, 400, 'http1.codec_error'],
    ['a CONNECT without port', 'CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'http1.codec_error'],
    [
      'a CONNECT with a body',
      'CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc',
      400,
      'http1.codec_error',
    ],
    ['101 fields', `GET / HTTP/1.1\r\n${HOST}${'a: b\r\n'.repeat(100)}\r\n`, 431, 'http1.too_many_headers'],
    [
      'more than 60 KiB of head',
      `GET / HTTP/1.1\r\n${HOST}a: ${'x'.repeat(60 * 1024)}\r\n\r\n`,
      431,
      'http1.headers_too_large',
    ],
    ['an unending head', `GET /${'x'.repeat(61 * 1024)}`, 431, 'http1.headers_too_large'],
  ])('refuses %s', async (_, request, status, details) => {
    const server = await new Server().send(request);
    expect(server.refused.map((r) => [r.status, r.details])).toEqual([[status, details]]);
    expect(server.requests).toHaveLength(0);
    expect(server.peer.received).toContain(`HTTP/1.1 ${status} `);
    expect(server.peer.received).toContain('connection: close');
    expect(server.peer.closed || server.peer.ended).toBe(true);
  });

  it.each<[name: string, body: string]>([
    ['a bare LF behind the size', '3\nabc\r\n0\r\n\r\n'],
    ['a blank behind the size', '3 \r\nabc\r\n0\r\n\r\n'],
    ['no CRLF behind the data', '3\r\nabcX\r\n0\r\n\r\n'],
    ['a bare LF behind the data', '3\r\nabc\n0\r\n\r\n'],
    ['a negative size', '-3\r\nabc\r\n0\r\n\r\n'],
    ['0x', '0x3\r\nabc\r\n0\r\n\r\n'],
    ['a CR within an extension', '3;a\rb\r\nabc\r\n0\r\n\r\n'],
    ['a size beyond all sizes', 'fffffffffffffffff\r\n'],
    ['an endless extension', `3;${'a'.repeat(5_000)}`],
  ])('refuses a chunk with %s', async (_, body) => {
    const server = await new Server().send(
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${body}`,
    );
    expect(server.refused.map((r) => r.details)).toEqual(['http1.codec_error']);
  });

  it.each<[name: string, request: string, check: (headers: HeaderMap) => unknown, expected: unknown]>([
    ['100 fields', `GET / HTTP/1.1\r\n${HOST}${'a: b\r\n'.repeat(99)}\r\n`, (h) => h.size, 99],
    ['folded values', `GET / HTTP/1.1\r\n${HOST}a: b\r\n\t c\r\n\r\n`, (h) => h.get('a'), 'b c'],
    ['bare LF line ends', 'GET / HTTP/1.1\nHost: a\nb: c\n\n', (h) => h.get('b'), 'c'],
    ['a bare CR in a value', `GET / HTTP/1.1\r\n${HOST}a: b\rc\r\n\r\n`, (h) => h.get('a'), 'bc'],
    ['bytes above 0x7f', `GET / HTTP/1.1\r\n${HOST}a: \xe4\r\n\r\n`, (h) => h.get('a'), '\xe4'],
    ['an empty host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', (h) => h.authority, ''],
    ['an IPv6 host', 'GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n', (h) => h.authority, '[::1]:80'],
    [
      'the absolute form, whose authority counts',
      'GET http://b:1/x?y HTTP/1.1\r\nHost: a\r\n\r\n',
      (h) => [h.authority, h.path, h.scheme],
      ['b:1', '/x?y', 'http'],
    ],
    ['the absolute form without path', 'GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n', (h) => h.path, '/?q'],
    ['empty lines before the request', `\r\n\r\nGET / HTTP/1.1\r\n${HOST}\r\n`, (h) => h.path, '/'],
    ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, (h) => h.path, '*'],
    ['names in any case', `GET / HTTP/1.1\r\n${HOST}X-AbC: 1\r\n\r\n`, (h) => h.flat, ['x-abc', '1']],
    [
      'repeated fields one by one',
      `GET / HTTP/1.1\r\n${HOST}a: 1\r\na: 2\r\n\r\n`,
      (h) => h.getAll('a'),
      ['1', '2'],
    ],
    [
      'te, of which trailers are left',
      `GET / HTTP/1.1\r\n${HOST}TE: gzip, trailers\r\nConnection: te\r\n\r\n`,
      (h) => h.get('te'),
      'trailers',
    ],
    [
      'an upgrade',
      `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
      (h) => [h.protocol, h.size],
      ['websocket', 0],
    ],
    [
      'h2c, which is ignored',
      `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n`,
      (h) => [h.protocol, h.size],
      [undefined, 0],
    ],
    [
      'CONNECT',
      'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
      (h) => [h.method, h.authority, h.path],
      ['CONNECT', 'a:1', undefined],
    ],
  ])('takes %s', async (_, request, check, expected) => {
    const server = await new Server().send(request);
    expect(server.refused).toEqual([]);
    const headers = server.requests[0]?.events.headers;
    expect(headers && check(headers)).toEqual(expected);
  });

  it('drops fields of one hop, and those that connection names', async () => {
    const server = await new Server().send(
      `GET / HTTP/1.1\r\n${HOST}Connection: keep-alive, x-hop, authorization\r\nKeep-Alive: 5\r\nX-Hop: 1\r\n` +
        'Proxy-Connection: x\r\nAuthorization: me\r\nb: 1\r\n\r\n',
    );
    expect(server.requests[0]?.events.headers?.flat).toEqual(['authorization', 'me', 'b', '1']);
  });

  it('drops chunk extensions, and hands trailers on where they are enabled', async () => {
    const server = await new Server({ enableTrailers: true }).send(
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n2 ; z\r\nde\r\n0\r\nt: 1\r\nHost: evil\r\n\r\n`,
    );
    const { events } = server.requests[0] ?? {};
    expect(events?.body).toBe('abcde');
    expect(events?.trailers?.flat).toEqual(['t', '1']);
  });

  it('drops content-length where chunked beside it is allowed', async () => {
    const server = await new Server({ allowChunkedLength: true }).send(
      `POST / HTTP/1.1\r\n${HOST}Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`,
    );
    expect(server.requests[0]?.events.headers?.get('content-length')).toBeUndefined();
    expect(server.requests[0]?.events.body).toBe('a');
  });

  it('serves pipelined requests one after the other', async () => {
    const server = await new Server().send(`GET /1 HTTP/1.1\r\n${HOST}\r\nGET /2 HTTP/1.1\r\n${HOST}\r\n`);
    expect(server.requests).toHaveLength(1);
    server.requests[0]?.stream.sendHeaders(HeaderMap.response(200), true);
    await settle();
    expect(server.requests.map((r) => r.events.headers?.path)).toEqual(['/1', '/2']);
  });

  it('closes where the response comes before the request is complete', async () => {
    const server = await new Server().send(`POST / HTTP/1.1\r\n${HOST}Content-Length: 10\r\n\r\nabc`);
    server.requests[0]?.stream.sendHeaders(HeaderMap.response(403), true);
    await server.send('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(server.requests).toHaveLength(1);
    expect(server.peer.ended).toBe(true);
  });

  it.each<[name: string, send: (stream: HttpServerStream) => void, expected: string]>([
    [
      'chunks when no length is known',
      (s) => {
        s.sendHeaders(HeaderMap.response(200), false);
        s.sendData(Buffer.from('ab'), false);
        s.sendData(Buffer.from('c'), true);
      },
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n',
    ],
    [
      'trailers behind chunks',
      (s) => {
        s.sendHeaders(HeaderMap.response(200), false);
        s.sendData(Buffer.from('ab'), false);
        s.sendTrailers(new HeaderMap(['grpc-status', '0', 'content-length', '9']));
      },
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\ngrpc-status: 0\r\n\r\n',
    ],
    [
      'a body of known length as it is',
      (s) => {
        s.sendHeaders(ok('abc'), false);
        s.sendData(Buffer.from('abc'), true);
      },
      'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc',
    ],
    [
      'no more than the announced length',
      (s) => {
        s.sendHeaders(ok('abc'), false);
        s.sendData(Buffer.from('abcHTTP/1.1 200 OK'), true);
      },
      'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc',
    ],
    [
      '204 without length',
      (s) => s.sendHeaders(HeaderMap.response(204, { 'content-length': '0' }), true),
      'HTTP/1.1 204 No Content\r\n\r\n',
    ],
    [
      '100 before the answer',
      (s) => {
        s.sendInformational(HeaderMap.response(100));
        s.sendHeaders(HeaderMap.response(200), true);
      },
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    ],
    [
      'values without line ends',
      (s) => s.sendHeaders(HeaderMap.response(200, { a: 'b\r\nset-cookie: evil' }), true),
      'HTTP/1.1 200 OK\r\na: b set-cookie: evil\r\ncontent-length: 0\r\n\r\n',
    ],
  ])('sends %s', async (_, send, expected) => {
    const server = await new Server({ enableTrailers: true }).send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    const stream = server.requests[0]?.stream;
    if (stream !== undefined) send(stream);
    await settle();
    expect(server.peer.received).toBe(expected);
  });

  it('answers HEAD with the length and no body', async () => {
    const server = await new Server().send(`HEAD / HTTP/1.1\r\n${HOST}\r\n`);
    server.requests[0]?.stream.sendHeaders(HeaderMap.response(200, { 'content-length': '5' }), true);
    await settle();
    expect(server.peer.received).toBe('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n');
  });

  it('answers HTTP/1.0, where it is accepted, with a body that ends with the connection', async () => {
    const server = await new Server({ acceptHttp10: true, defaultHostForHttp10: 'd' }).send(
      'GET / HTTP/1.0\r\n\r\n',
    );
    expect(server.requests[0]?.events.headers?.authority).toBe('d');
    const stream = server.requests[0]?.stream;
    stream?.sendHeaders(HeaderMap.response(200), false);
    stream?.sendData(Buffer.from('abc'), true);
    await settle();
    expect(server.peer.received).toBe('HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nabc');
    expect(server.peer.ended).toBe(true);
  });

  it('passes bytes both ways behind an upgrade, and each half-close by itself', async () => {
    const server = await new Server().send(
      `GET / HTTP/1.1\r\n${HOST}Connection: upgrade\r\nUpgrade: websocket\r\n\r\nearly`,
    );
    const { stream, events } = server.requests[0] ?? {};
    expect(events?.body).toBe('');
    stream?.sendHeaders(HeaderMap.response(101), false);
    await server.send(' late');
    expect(events?.body).toBe('early late');
    stream?.sendData(Buffer.from('bye'), true);
    await settle();
    expect(server.peer.received).toMatch(/^HTTP\/1.1 101 [^]*upgrade: websocket\r\n\r\nbye$/);
    expect([server.peer.ended, events?.ended]).toEqual([true, false]);
    server.peer.stream.end();
    await settle();
    expect([events?.ended, events?.reset, server.peer.closed]).toEqual([true, undefined, true]);
  });

  it('closes behind a refused upgrade: whose bytes follow is unclear', async () => {
    const server = await new Server().send(
      `GET /1 HTTP/1.1\r\n${HOST}Connection: upgrade\r\nUpgrade: websocket\r\n\r\nGET /2 HTTP/1.1\r\n${HOST}\r\n`,
    );
    server.requests[0]?.stream.sendHeaders(HeaderMap.response(403), true);
    await settle();
    expect(server.requests).toHaveLength(1);
    expect(server.peer.received).toContain('connection: close');
    expect(server.peer.ended).toBe(true);
  });

  it('tells a request whose client leaves', async () => {
    const server = await new Server().send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    server.peer.stream.end();
    await settle();
    expect(server.requests[0]?.events.reset).toBe('connection-termination');
  });

  it('says connection: close when it drains, and closes at once when idle', async () => {
    const busy = await new Server().send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    busy.codec.drain();
    busy.requests[0]?.stream.sendHeaders(HeaderMap.response(200), true);
    await settle();
    expect(busy.peer.received).toContain('connection: close');
    expect(busy.peer.ended).toBe(true);
    const idle = new Server();
    idle.codec.drain();
    await settle();
    expect(idle.peer.ended).toBe(true);
  });

  it.each([
    ['reject-request', 400],
    ['drop-header', 0],
  ] as const)('treats names with "_" as told: %s', async (underscores, status) => {
    const server = await new Server({ underscores }).send(`GET / HTTP/1.1\r\n${HOST}a_b: 1\r\n\r\n`);
    expect(server.refused[0]?.status ?? 0).toBe(status);
    if (status === 0) expect(server.requests[0]?.events.headers?.size).toBe(0);
  });

  it('reads a request the same however it is cut', async () => {
    const text =
      `POST /a HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\na: b\r\n c\r\n\r\n` +
      `4;x\r\nabcd\r\nA\r\n0123456789\r\n0\r\nt: 1\r\n\r\nPUT /b HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\nxyz`;
    const readAll = async (cut: readonly string[]): Promise<unknown> => {
      const server = new Server({ enableTrailers: true });
      for (const part of cut) {
        await server.send(part);
        const { stream, events } = server.requests.at(-1) ?? {};
        if (events?.ended === true) stream?.sendHeaders(HeaderMap.response(200), true);
      }
      await settle();
      return server.requests.map(({ events: e }) => [
        e.headers?.path,
        e.headers?.flat,
        e.body,
        e.trailers?.flat,
        e.ended,
      ]);
    };
    const whole = await readAll([text]);
    for (let at = 1; at < text.length; at += 3) {
      expect(await readAll([text.slice(0, at), text.slice(at)])).toEqual(whole);
    }
    expect(await readAll(text.split(''))).toEqual(whole);
  });
});

describe('the HTTP/1 client codec', () => {
  function client(): { peer: RawPeer; codec: ReturnType<typeof createHttp1ClientCodec>; ends: object[] } {
    const pair = connectionPair();
    const ends: object[] = [];
    const codec = createHttp1ClientCodec(pair.client, {
      onCapacity: () => undefined,
      onDraining: () => undefined,
      onClose: (end) => void ends.push(end),
    });
    return { peer: new RawPeer(pair.server), codec, ends };
  }

  const get = (method = 'GET'): HeaderMap => HeaderMap.request({ method, path: '/', authority: 'a' });

  it.each<[name: string, method: string, response: string, expected: readonly unknown[]]>([
    [
      'a length',
      'GET',
      'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc',
      [200, 'abc', true, undefined, true],
    ],
    [
      'chunks',
      'GET',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      [200, 'abc', true, undefined, true],
    ],
    [
      'an answer to HEAD',
      'HEAD',
      'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n',
      [200, '', true, undefined, true],
    ],
    ['204', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n', [204, '', true, undefined, true]],
    [
      '304 with a length',
      'GET',
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n',
      [304, '', true, undefined, true],
    ],
    [
      'an interim response first',
      'GET',
      'HTTP/1.1 103 Early Hints\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      [200, '', true, undefined, true],
    ],
    [
      'connection: close',
      'GET',
      'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
      [200, '', true, undefined, false],
    ],
    ['HTTP/1.0', 'GET', 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n', [200, '', true, undefined, false]],
    [
      'bytes behind the message',
      'GET',
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n',
      [200, '', true, undefined, false],
    ],
    [
      'no reason phrase',
      'GET',
      'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n',
      [200, '', true, undefined, true],
    ],
    [
      'content-length beside chunked',
      'GET',
      'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
      [undefined, '', false, 'protocol-error', false],
    ],
    ['garbage', 'GET', 'SSH-2.0-x\r\n\r\n', [undefined, '', false, 'protocol-error', false]],
    [
      '101 that nobody asked for',
      'GET',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
      [undefined, '', false, 'protocol-error', false],
    ],
  ])('reads %s', async (_, method, response, [status, body, ended, reset, reusable]) => {
    const { peer, codec } = client();
    const events = new Recorder();
    codec.openStream(events)?.sendHeaders(get(method), true);
    peer.send(response);
    await settle();
    expect([events.headers?.status, events.body, events.ended, events.reset, codec.canOpen]).toEqual([
      status,
      body,
      ended,
      reset,
      reusable,
    ]);
  });

  it('reads a body up to the end of the connection', async () => {
    const { peer, codec } = client();
    const events = new Recorder();
    codec.openStream(events)?.sendHeaders(get(), true);
    peer.send('HTTP/1.1 200 OK\r\n\r\nabc');
    await settle();
    expect(events.ended).toBe(false);
    peer.stream.end();
    await settle();
    expect([events.body, events.ended, events.reset]).toEqual(['abc', true, undefined]);
  });

  it.each([
    ['before', '', 'connection-termination'],
    ['within', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc', 'protocol-error'],
  ])('tells a connection that ends %s the response', async (_, response, reason) => {
    const { peer, codec, ends } = client();
    const events = new Recorder();
    codec.openStream(events)?.sendHeaders(get(), true);
    peer.send(response);
    await settle();
    peer.stream.end();
    await settle();
    expect(events.reset).toBe(reason);
    expect(ends).toHaveLength(1);
  });

  it('closes a connection on which bytes come that nobody asked for', async () => {
    const { peer, codec } = client();
    peer.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    await settle();
    expect(codec.usable).toBe(false);
  });

  it.each<[name: string, send: (codec: ReturnType<typeof createHttp1ClientCodec>) => void, expected: string]>(
    [
      [
        'a request without body',
        (c) => c.openStream(new Recorder())?.sendHeaders(get(), true),
        'GET / HTTP/1.1\r\nhost: a\r\n\r\n',
      ],
      [
        'POST without body',
        (c) => c.openStream(new Recorder())?.sendHeaders(get('POST'), true),
        'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n',
      ],
      [
        'an upgrade',
        (c) => {
          const h = get();
          h.protocol = 'websocket';
          c.openStream(new Recorder())?.sendHeaders(h, false);
        },
        'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
      ],
      [
        'no line that a value made',
        (c) => {
          const h = get();
          h.set('x', 'a\r\nb: c');
          c.openStream(new Recorder())?.sendHeaders(h, true);
        },
        'GET / HTTP/1.1\r\nhost: a\r\nx: a b: c\r\n\r\n',
      ],
      [
        'no line that a path made',
        (c) => {
          const h = get();
          h.path = '/a HTTP/1.1\r\nx: y';
          c.openStream(new Recorder())?.sendHeaders(h, true);
        },
        'GET /aHTTP/1.1x:y HTTP/1.1\r\nhost: a\r\n\r\n',
      ],
    ],
  )('sends %s', async (_, send, expected) => {
    const { peer, codec } = client();
    send(codec);
    await settle();
    expect(peer.received).toBe(expected);
  });
});
