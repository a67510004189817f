import { afterEach, describe, expect, it } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import type { Duplex } from 'node:stream';
import { TestAuthority } from '../testing/certificates.ts';
import { CLIENT_ID, SERVER_ID, tunnelPair, type TunnelPair } from '../testing/tunnel-pair.ts';
import type { ConnectRequest } from './connect-request.ts';

/** node:http2 as the other end, in both roles. */

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function echoPair(): Promise<TunnelPair> {
  const pair = await tunnelPair((request) => {
    const duplex = request.accept({ baggage: 'service.name=echo' }).toDuplex();
    duplex.on('error', () => undefined);
    duplex.pipe(duplex);
  });
  closers.push(() => pair.close());
  return pair;
}

function nodeClient(pair: TunnelPair, settings: http2.Settings = {}): http2.ClientHttp2Session {
  const { keyPem, chainPem } = pair.clientCertificate;
  const session = http2.connect(`https://127.0.0.1:${pair.port}`, {
    ca: pair.authority.rootsPem,
    key: keyPem,
    cert: chainPem,
    checkServerIdentity: () => undefined,
    settings,
  });
  session.on('error', () => undefined);
  closers.push(() => session.destroy());
  return session;
}

const connectHeaders = { ':method': 'CONNECT', ':authority': '10.0.0.1:80', baggage: 'k8s.namespace.name=a' };

async function checkedEcho(stream: Duplex, size: number): Promise<void> {
  const body = randomBytes(size);
  const hash = createHash('sha256');
  stream.on('data', (chunk: Buffer) => hash.update(chunk));
  stream.end(body);
  await once(stream, 'end');
  expect(hash.digest('hex')).toBe(createHash('sha256').update(body).digest('hex'));
}

describe('our server with a node:http2 client', () => {
  it.each([
    ['its default settings', {}],
    ['a window of 1 KB', { initialWindowSize: 1_024 }],
    ['frames of 1 MB', { maxFrameSize: 1_048_576, initialWindowSize: 4_194_304 }],
    ['no header table', { headerTableSize: 0 }],
  ])('echoes 30 parallel tunnels with %s', async (_name, settings) => {
    const pair = await echoPair();
    const session = nodeClient(pair, settings);
    const streams = Array.from({ length: 30 }, (_, i) => {
      const stream = session.request(connectHeaders, { endStream: false });
      return checkedEcho(stream, [0, 1, 70_000, 300_000][i % 4] ?? 0);
    });
    await Promise.all(streams);
    expect(pair.serverErrors).toEqual([]);
  });

  it.each([
    [{ ':method': 'GET', ':path': '/' }, 400],
    [{ ':method': 'CONNECT', ':authority': 'no-port' }, 400],
    [connectHeaders, 200],
  ])('answers %j with %d', async (headers, status) => {
    const session = nodeClient(await echoPair());
    const stream = session.request(headers);
    stream.on('error', () => undefined);
    const [response] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]; // the event's documented shape
    expect(response[':status']).toBe(status);
    expect(response['baggage']).toBe(status === 200 ? 'service.name=echo' : undefined);
    stream.close();
  });

  it('answers a request that is no CONNECT before its end, takes what follows, and serves others meanwhile', async () => {
    const session = nodeClient(await echoPair());
    const stream = session.request({ ':method': 'POST', ':path': '/' }, { endStream: false });
    const ended = once(stream, 'close');
    const [response] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]; // the event's documented shape
    expect(response[':status']).toBe(400);
    stream.resume();
    await checkedEcho(session.request(connectHeaders, { endStream: false }), 100_000);
    stream.end(Buffer.alloc(8 * 1024 * 1024)); // more than a window
    await ended;
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_NO_ERROR);
  });

  it('ends the stream of a client whose CONNECT has END_STREAM', async () => {
    const session = nodeClient(await echoPair());
    const stream = session.request(connectHeaders, { endStream: true });
    stream.resume();
    await once(stream, 'end');
  });

  it('holds what a client sends before its answer, within the window, and drops it with a refusal', async () => {
    const requests: ConnectRequest[] = [];
    const pair = await tunnelPair((request) => void requests.push(request));
    closers.push(() => pair.close());
    const session = nodeClient(pair);
    const early = [session.request(connectHeaders), session.request(connectHeaders)];
    for (const stream of early) stream.on('error', () => undefined).end(Buffer.alloc(100_000, 'x'));
    while (requests.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
    await new Promise<void>((resolve) => void session.ping(() => resolve())); // all of it has come
    requests[1]?.reject(401);
    const echoed = requests[0]?.accept().toDuplex();
    echoed?.pipe(echoed);
    let bytes = 0;
    early[0]?.on('data', (chunk: Buffer) => (bytes += chunk.length));
    const [refused] = (await once(early[1] ?? session, 'response')) as [http2.IncomingHttpHeaders]; // the event's documented shape
    expect(refused[':status']).toBe(401);
    await once(early[0] ?? session, 'end');
    expect(bytes).toBe(100_000);
    expect(pair.serverErrors).toEqual([]);
  });

  it('answers its PING, and ends with its GOAWAY', async () => {
    const pair = await echoPair();
    const session = nodeClient(pair);
    await once(session, 'remoteSettings');
    await new Promise<void>((resolve, reject) => {
      session.ping((error) => (error === null ? resolve() : reject(error)));
    });
    const closed = once(session, 'close');
    session.close();
    await closed;
  });

  it('lets its streams finish while draining, and takes no more', async () => {
    const pair = await echoPair();
    const session = nodeClient(pair);
    const stream = session.request(connectHeaders, { endStream: false });
    await once(stream, 'response');
    const goaway = once(session, 'goaway');
    const closed = once(session, 'close');
    const drained = pair.server.drain();
    await goaway;
    await checkedEcho(stream, 100_000);
    await drained;
    await closed;
    expect(pair.server.sessions.size).toBe(0);
  });

  it('sees the reset that its client sent', async () => {
    let aborted: Promise<unknown> | undefined;
    const pair = await tunnelPair((request) => {
      aborted = new Promise<void>((resolve) =>
        request.signal.addEventListener('abort', resolve, { once: true }),
      );
    });
    closers.push(() => pair.close());
    const session = nodeClient(pair);
    const stream = session.request(connectHeaders, { endStream: false });
    stream.on('error', () => undefined);
    while (aborted === undefined) await new Promise((resolve) => setImmediate(resolve));
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await aborted;
  });
});

describe('our pool with a node:http2 server', () => {
  async function nodeServer(
    onStream: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
    settings: http2.Settings = {},
  ): Promise<TunnelPair> {
    const authority = await TestAuthority.create();
    const [server, client] = [await authority.issue(SERVER_ID), await authority.issue(CLIENT_ID)];
    const listener = http2.createSecureServer({
      key: server.keyPem,
      cert: server.chainPem,
      ca: authority.rootsPem,
      requestCert: true,
      settings,
    });
    listener.on('stream', onStream);
    listener.on('sessionError', () => undefined);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const address = listener.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const pair = await tunnelPair(() => undefined, {
      pool: { certificateFor: () => Promise.resolve(client) },
    });
    closers.push(
      () => new Promise((resolve) => void listener.close(() => resolve())),
      () => pair.close(),
    );
    return {
      ...pair,
      request: (o) => pair.request({ address: { ip: '127.0.0.1', port: address.port }, ...o }),
    };
  }
  const echo = (stream: http2.ServerHttp2Stream): void => {
    stream.on('error', () => undefined);
    stream.respond({ ':status': 200, baggage: 'service.name=node' });
    stream.pipe(stream);
  };

  it.each([
    ['its default settings', {}],
    ['a window of 1 KB', { initialWindowSize: 1_024 }],
    ['10 streams a connection', { maxConcurrentStreams: 10 }],
    ['no header table', { headerTableSize: 0 }],
  ])('echoes 30 parallel tunnels with %s', async (_name, settings) => {
    const pair = await nodeServer(echo, settings);
    const jobs = Array.from({ length: 30 }, async (_, i) => {
      const { stream, responseHeaders } = await pair.pool.connect(pair.request());
      expect(responseHeaders.get('baggage')).toBe('service.name=node');
      await checkedEcho(stream.toDuplex(), [0, 1, 70_000, 300_000][i % 4] ?? 0);
    });
    await Promise.all(jobs);
  });

  it('sends CONNECT with :method and :authority alone', async () => {
    let got: http2.IncomingHttpHeaders = {};
    const pair = await nodeServer((stream, headers) => {
      got = headers;
      echo(stream);
    });
    await pair.pool.connect(pair.request({ headers: { traceparent: '00-0-0-00' } }));
    expect(Object.fromEntries(Object.entries(got))).toEqual({
      ':method': 'CONNECT',
      ':authority': '10.0.0.1:80',
      traceparent: '00-0-0-00',
    });
  });

  it('ends a tunnel whose 200 has END_STREAM', async () => {
    const pair = await nodeServer((stream) => stream.respond({ ':status': 200 }, { endStream: true }));
    const { stream } = await pair.pool.connect(pair.request());
    const duplex = stream.toDuplex();
    duplex.resume();
    await once(duplex, 'end');
    duplex.destroy();
  });

  it.each([401, 503])('reports a refusal with its status %d', async (status) => {
    const pair = await nodeServer((stream) => stream.respond({ ':status': status }, { endStream: true }));
    await expect(pair.pool.connect(pair.request())).rejects.toMatchObject({ code: 'WEFT1206', status });
  });

  it('reports a reset before the answer', async () => {
    const pair = await nodeServer((stream) => {
      stream.on('error', () => undefined);
      stream.close(http2.constants.NGHTTP2_CONNECT_ERROR);
    });
    await expect(pair.pool.connect(pair.request())).rejects.toMatchObject({ code: 'WEFT1212' });
  });
});
