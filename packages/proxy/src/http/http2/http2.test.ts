import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { HeaderMap } from '../../engine/types.ts';
import { createConnectionInfo } from '../../network/connection-info.ts';
import { SocketStream } from '../../network/socket-stream.ts';
import type {
  BadRequest,
  HttpClientCodec,
  HttpCodecOptions,
  HttpServerCodec,
  HttpServerStream,
} from '../codec.ts';
import { connectionPair, settle } from '../testing/raw-connection.ts';
import { Recorder } from '../testing/recorder.ts';
import { createHttp2ClientCodec } from './client.ts';
import { createHttp2ServerCodec } from './server.ts';

interface Exchange {
  readonly stream: HttpServerStream;
  readonly events: Recorder;
}

class Pair {
  readonly exchanges: Exchange[] = [];
  readonly refused: BadRequest[] = [];
  readonly closed: { server?: object; client?: object } = {};
  capacity = 0;
  readonly server: HttpServerCodec;
  readonly client: HttpClientCodec;

  constructor(o: { server?: HttpCodecOptions; client?: HttpCodecOptions } = {}) {
    const pair = connectionPair();
    this.server = createHttp2ServerCodec(
      pair.server,
      {
        onStream: (stream) => {
          const events = new Recorder();
          this.exchanges.push({ stream, events });
          return events;
        },
        onBadRequest: (stream, error) => {
          this.refused.push(error);
          stream.sendHeaders(HeaderMap.response(error.status), true);
        },
        onActiveStreams: () => undefined,
        onClose: (end) => void (this.closed.server = end),
      },
      o.server,
    );
    this.client = createHttp2ClientCodec(
      pair.client,
      {
        onCapacity: () => void this.capacity++,
        onDraining: () => undefined,
        onClose: (end) => void (this.closed.client = end),
      },
      o.client,
    );
  }

  async request(
    headers: HeaderMap,
    end = true,
  ): Promise<{
    stream: ReturnType<HttpClientCodec['openStream']>;
    events: Recorder;
    server: Exchange | undefined;
  }> {
    const events = new Recorder();
    const stream = this.client.openStream(events);
    stream?.sendHeaders(headers, end);
    await settle();
    return { stream, events, server: this.exchanges.at(-1) };
  }
}

const get = (fields: Record<string, string> = {}): HeaderMap =>
  HeaderMap.request({
    method: 'GET',
    path: '/p',
    authority: 'a',
    scheme: 'http',
    fields: Object.entries(fields),
  });
const post = (): HeaderMap =>
  HeaderMap.request({ method: 'POST', path: '/p', authority: 'a', scheme: 'http' });

describe('HTTP/2 messages', () => {
  it('carry heads, bodies and trailers both ways', async () => {
    const pair = new Pair();
    const { stream, events, server } = await pair.request(post(), false);
    stream?.sendData(Buffer.from('up'), false);
    stream?.sendTrailers(new HeaderMap(['t', '1']));
    await settle();
    expect([server?.events.headers?.path, server?.events.body, server?.events.trailers?.get('t')]).toEqual([
      '/p',
      'up',
      '1',
    ]);
    server?.stream.sendInformational(HeaderMap.response(103));
    server?.stream.sendHeaders(HeaderMap.response(200, { b: 'c' }), false);
    server?.stream.sendData(Buffer.from('down'), false);
    server?.stream.sendTrailers(new HeaderMap(['grpc-status', '0']));
    await settle();
    expect([
      events.interim,
      events.headers?.get('b'),
      events.body,
      events.trailers?.get('grpc-status'),
      events.reset,
    ]).toEqual([[103], 'c', 'down', '0', undefined]);
    expect([pair.server.activeStreams, pair.client.activeStreams]).toEqual([0, 0]);
  });

  it('hold more than every window', async () => {
    const small = { initialStreamWindowBytes: 65_535, initialConnectionWindowBytes: 65_535 };
    const pair = new Pair({ server: small, client: small });
    const { stream, events, server } = await pair.request(post(), false);
    const chunk = Buffer.alloc(300_000, 'x');
    stream?.sendData(chunk, true);
    await settle(40);
    expect(server?.events.body.length).toBe(300_000);
    server?.stream.sendHeaders(HeaderMap.response(200), false);
    server?.stream.sendData(chunk, true);
    await settle(40);
    expect([events.body.length, events.ended]).toEqual([300_000, true]);
  });

  it('stop at a reader that pauses, and tell when there is room', async () => {
    const pair = new Pair({
      server: { initialStreamWindowBytes: 65_535 },
      client: { bufferLimitBytes: 100_000 },
    });
    const { stream, events, server } = await pair.request(post(), false);
    server?.stream.pauseReading();
    expect(stream?.sendData(Buffer.alloc(300_000), false)).toBe(false);
    await settle();
    expect(stream?.writableLength).toBe(300_000 - 65_535);
    expect(events.drains).toBe(0);
    server?.stream.resumeReading();
    await settle(40);
    expect([server?.events.body.length, stream?.writableLength, events.drains]).toEqual([300_000, 0, 1]);
  });

  it('join cookies, leave out what belongs to one hop, and never break a value in two', async () => {
    const pair = new Pair();
    const headers = get({ connection: 'x', 'keep-alive': '5', te: 'gzip', bad: 'a\r\nb: c' });
    headers.append('cookie', 'a=1');
    headers.append('cookie', 'b=2');
    const { server } = await pair.request(headers);
    expect(server?.events.headers?.flat).toEqual(['bad', 'a  b: c', 'cookie', 'a=1; b=2']);
  });

  it('show an extended CONNECT as an upgrade, with half-closes', async () => {
    const pair = new Pair({ server: { allowConnect: true } });
    await settle();
    const headers = get();
    headers.protocol = 'websocket';
    const { stream, events, server } = await pair.request(headers, false);
    expect([server?.events.headers?.method, server?.events.headers?.protocol]).toEqual(['GET', 'websocket']);
    server?.stream.sendHeaders(HeaderMap.response(101), false);
    server?.stream.sendData(Buffer.from('hi'), true);
    await settle();
    expect([events.headers?.status, events.body, events.ended, events.reset]).toEqual([
      101,
      'hi',
      true,
      undefined,
    ]);
    stream?.sendData(Buffer.from('yo'), true);
    await settle();
    expect([server?.events.body, server?.events.ended, pair.server.activeStreams]).toEqual(['yo', true, 0]);
  });

  it('upgrade on a connection that has only begun', async () => {
    const pair = new Pair({ server: { allowConnect: true } });
    const headers = get();
    headers.protocol = 'websocket';
    const events = new Recorder();
    const stream = pair.client.openStream(events);
    stream?.sendHeaders(headers, false);
    stream?.sendData(Buffer.from('x'), false);
    await settle();
    expect(pair.exchanges[0]?.events.body).toBe('x');
  });

  it('refuse an upgrade whose server takes none', async () => {
    const pair = new Pair();
    const headers = get();
    headers.protocol = 'websocket';
    const { events } = await pair.request(headers, false);
    expect(events.reset).toBe('refused-stream');
  });

  it.each([
    ['refused-stream', 'refused-stream'],
    ['connect-error', 'connect-error'],
    ['local-reset', 'remote-reset'],
    ['protocol-error', 'remote-reset'],
  ] as const)('tell a reset: %s', async (sent, received) => {
    const pair = new Pair();
    const { events, server } = await pair.request(post(), false);
    server?.stream.reset(sent);
    await settle();
    expect([events.reset, server?.events.reset]).toEqual([received, undefined]);
  });

  it('stop an upload whose answer is complete, without spoiling the answer', async () => {
    const pair = new Pair();
    const { stream, events, server } = await pair.request(post(), false);
    server?.stream.sendHeaders(HeaderMap.response(403), false);
    server?.stream.sendData(Buffer.from('no'), true);
    await settle();
    stream?.sendData(Buffer.alloc(10), false);
    await settle();
    expect([events.body, events.ended, events.reset, pair.server.activeStreams]).toEqual([
      'no',
      true,
      undefined,
      0,
    ]);
  });

  it('wait where the peer allows no more streams, and lose nothing', async () => {
    const pair = new Pair({ server: { maxConcurrentStreams: 1 } });
    await settle();
    const { server } = await pair.request(get());
    expect([pair.client.canOpen, pair.client.maxConcurrentStreams]).toEqual([false, 1]);
    const before = pair.capacity;
    server?.stream.sendHeaders(HeaderMap.response(204), true);
    await settle();
    expect([pair.client.canOpen, pair.capacity > before]).toEqual([true, true]);
  });

  it('end with the connection when it drains', async () => {
    const pair = new Pair();
    const { events, server } = await pair.request(get());
    pair.server.drain();
    await settle();
    expect(pair.client.usable).toBe(false);
    server?.stream.sendHeaders(HeaderMap.response(200), true);
    await settle();
    expect([events.ended, pair.closed.client !== undefined, pair.closed.server !== undefined]).toEqual([
      true,
      true,
      true,
    ]);
  });

  it('are lost with the connection', async () => {
    const pair = new Pair();
    const { events } = await pair.request(get());
    pair.server.close();
    await settle();
    expect(events.reset).toBe('connection-termination');
  });
});

describe('the HTTP/2 server codec and node:http2', () => {
  async function withServer(
    options: HttpCodecOptions,
    use: (
      session: http2.ClientHttp2Session,
      seen: Exchange[],
      ends: { protocolError?: string }[],
    ) => Promise<void>,
  ): Promise<void> {
    const seen: Exchange[] = [];
    const ends: { protocolError?: string }[] = [];
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      const address = { kind: 'ip', ip: '127.0.0.1', port: 1 } as const;
      const info = createConnectionInfo({ remoteAddress: address, localAddress: address, startTimeMs: 0 });
      createHttp2ServerCodec(
        new SocketStream(socket, info),
        {
          onStream: (stream) => {
            const events = new Recorder();
            seen.push({ stream, events });
            queueMicrotask(() => {
              stream.sendHeaders(HeaderMap.response(200, { 'x-path': events.headers?.path ?? '' }), true);
            });
            return events;
          },
          onBadRequest: (stream, error) => stream.sendHeaders(HeaderMap.response(error.status), true),
          onActiveStreams: () => undefined,
          onClose: (end) => void ends.push(end),
        },
        options,
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    session.on('error', () => undefined);
    try {
      await use(session, seen, ends);
    } finally {
      session.destroy();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  const outcome = (stream: http2.ClientHttp2Stream): Promise<string> =>
    new Promise((resolve) => {
      stream.on('error', () => undefined);
      stream.on('response', (headers) => resolve(`status ${headers[':status']}`));
      stream.on('close', () => resolve(`closed ${stream.rstCode}`));
      stream.resume();
    });

  it('answers a request', () =>
    withServer({}, async (session, seen) => {
      expect(await outcome(session.request({ ':path': '/x' }))).toBe('status 200');
      expect(seen[0]?.events.headers?.authority).toMatch(/^127/);
    }));

  it.each<[name: string, options: HttpCodecOptions, fields: http2.OutgoingHttpHeaders, expected: string]>([
    ['99 fields', {}, Object.fromEntries(Array.from({ length: 96 }, (_, i) => [`a${i}`, 'b'])), 'status 200'],
    [
      'too many fields',
      {},
      Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`a${i}`, 'b'])),
      `closed ${http2.constants.NGHTTP2_INTERNAL_ERROR}`,
    ],
    ['too large a head', { maxHeadersKb: 1 }, { a: 'b'.repeat(2_000) }, 'closed'],
    [
      'a path without slash',
      { streamErrorOnInvalidMessage: true },
      { ':path': 'x' },
      `closed ${http2.constants.NGHTTP2_PROTOCOL_ERROR}`,
    ],
    [
      'a body shorter than announced',
      {},
      { ':method': 'POST', 'content-length': '5' },
      `closed ${http2.constants.NGHTTP2_PROTOCOL_ERROR}`,
    ],
    ['a name with "_" that is refused', { underscores: 'reject-request' }, { a_b: 'c' }, 'status 400'],
  ])('treats %s as it should', (_, options, fields, expected) =>
    withServer(options, async (session) => {
      const stream = session.request(fields);
      stream.end();
      expect(await outcome(stream)).toContain(expected);
    }),
  );

  it('closes the connection over a malformed message', () =>
    withServer({}, async (session, _, ends) => {
      await outcome(session.request({ ':path': 'x' }));
      while (ends.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      expect(ends[0]?.protocolError).toBe('http2.violation.of.messaging.rule');
    }));

  it('closes after a few hundred rapid resets', () =>
    withServer({}, async (session, _, ends) => {
      for (let round = 0; round < 30 && !session.destroyed; round++) {
        for (let i = 0; i < 20 && !session.destroyed; i++) {
          const stream = session.request({ ':method': 'POST' });
          stream.on('error', () => undefined);
          stream.close(http2.constants.NGHTTP2_CANCEL);
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      while (ends.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      expect(ends[0]?.protocolError ?? '').toMatch(/premature_resets|protocol_error/);
    }));
});
