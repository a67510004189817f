import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { ErrorCode, Flag, FrameType, SettingId } from '@weft/hbone/http2';
import { HostileSetup, pause, type RawClient, TEST_TIMEOUT_MS, until } from './testing/hostile-setup.ts';
import {
  block,
  type Field,
  frame,
  headers,
  parseFrames,
  settings,
  start,
  uint32,
} from './testing/raw-frames.ts';

jest.setTimeout(TEST_TIMEOUT_MS);

let setup: HostileSetup;

async function noRequests(): Promise<boolean> {
  return (await setup.active()).requests === 0;
}

beforeAll(async () => {
  setup = await HostileSetup.start();
});
afterAll(() => setup.stop());

afterEach(async () => {
  setup.disconnect();
  for (const { method, path } of setup.seen) {
    expect(method).toBe('GET');
    expect(path).not.toMatch(/^\/(?:admin|jwt)/);
  }
  // Others are served, and nothing of the attack is left.
  await until(() => setup.isIdle());
  setup.seen.length = 0;
  expect(await setup.statuses('GET /fine HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')).toEqual([200]);
  expect(setup.seen.splice(0).map((request) => request.path)).toContain('/fine');
});

const METHOD: Field = [':method', 'GET'];
const SCHEME: Field = [':scheme', 'http'];
const PATH: Field = [':path', '/a'];
const AUTHORITY: Field = [':authority', 'a.test'];
const pseudo = (o: { method?: string; path?: string } = {}): Field[] => [
  [':method', o.method ?? 'GET'],
  SCHEME,
  [':path', o.path ?? '/a'],
  AUTHORITY,
];
const paths = (): string[] => setup.seen.map((request) => request.path);
const repeat = (count: number, make: (i: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));
const streamId = (i: number): number => 2 * i + 1;

interface Outcome {
  readonly closed: boolean;
  /** Of stream 1. */
  readonly body: string;
  readonly reset: number | undefined;
}

function outcomeOf(client: RawClient): Outcome {
  const frames = parseFrames(client.receivedBytes).filter((f) => f.streamId === 1);
  const body = frames.filter((f) => f.kind === FrameType.data).map((f) => f.payload.toString());
  const reset = frames.find((f) => f.kind === FrameType.rstStream)?.payload.readUInt32BE(0);
  return { closed: client.closed, body: body.join(''), reset };
}

async function attack(bytes: Buffer): Promise<Outcome> {
  const client = setup.open();
  client.write(Buffer.concat([start(), bytes]));
  await client.answered();
  return outcomeOf(client);
}

describe('over HTTP/2 the policy', () => {
  it.each([
    ['POST', pseudo({ method: 'POST' })],
    ['a lower-case method', pseudo({ method: 'get' })],
    ['a method that is no method', pseudo({ method: 'GE~T' })],
    ...[
      '/admin',
      '//admin',
      '/x/../admin',
      '/%61dmin',
      '/x%2f..%2fadmin',
      '/\\admin',
      '/admin?x',
      '/admin;',
      '/./admin',
    ].map((path): [string, Field[]] => [path, pseudo({ path })]),
  ])('denies %s', async (_name, fields) => {
    expect(await attack(headers(1, fields))).toEqual({
      closed: false,
      body: 'RBAC: access denied',
      reset: undefined,
    });
    expect(setup.seen).toEqual([]);
  });

  it.each<[string, Field[]]>([
    ['OPTIONS *', pseudo({ method: 'OPTIONS', path: '*' })],
    ['/admin#x', pseudo({ path: '/admin#x' })],
    ['/%00', pseudo({ path: '/%00' })],
    ['neither :authority nor host', [METHOD, SCHEME, PATH]],
    [
      'CONNECT',
      [
        [':method', 'CONNECT'],
        [':authority', 'a:80'],
      ],
    ],
    ['a token whose keys can not be had', [...pseudo({ path: '/jwt' }), ['authorization', 'Bearer a.b.c']]],
  ])('lets nothing through of %s', async (_name, fields) => {
    await attack(headers(1, fields));
    expect(setup.seen).toEqual([]);
  });

  it('serves what it allows, with one host and one length', async () => {
    const fields: Field[] = [...pseudo(), ['host', 'other'], ['content-length', '3'], ['te', 'trailers']];
    const body = frame(FrameType.data, Flag.endStream, 1, 'abc');
    expect((await attack(Buffer.concat([headers(1, fields, Flag.endHeaders), body]))).body).toBe('served');
    const names = setup.seen[0]?.headers.filter((_, i) => i % 2 === 0).map((n) => n.toLowerCase()) ?? [];
    expect(
      names.filter((n) => n === 'host' || n === 'content-length' || n === 'transfer-encoding').sort(),
    ).toEqual(['content-length', 'host']);
    expect([setup.seen[0]?.body, setup.seen[0]?.headers.includes('other')]).toEqual(['abc', false]);
  });

  it('sends equal lengths on as one', async () => {
    const fields: Field[] = [...pseudo(), ['content-length', '3'], ['content-length', '3']];
    const body = frame(FrameType.data, Flag.endStream, 1, 'abc');
    await attack(Buffer.concat([headers(1, fields, Flag.endHeaders), body]));
    for (const { headers: flat, body: seen } of setup.seen) {
      expect([seen, flat.filter((f) => f.toLowerCase() === 'content-length').length]).toEqual(['abc', 1]);
    }
  });
});

describe('a malformed HTTP/2 request ends its connection', () => {
  it.each<[string, Field[]]>([
    ['an upper-case name', [...pseudo(), ['X-A', 'b']]],
    ['connection', [...pseudo(), ['connection', 'close']]],
    ['transfer-encoding', [...pseudo(), ['transfer-encoding', 'chunked']]],
    ['keep-alive', [...pseudo(), ['keep-alive', '5']]],
    ['proxy-connection', [...pseudo(), ['proxy-connection', 'x']]],
    ['upgrade', [...pseudo(), ['upgrade', 'websocket']]],
    ['te: gzip', [...pseudo(), ['te', 'gzip']]],
    ['two :path', [...pseudo(), [':path', '/admin']]],
    ['two :method', [METHOD, [':method', 'POST'], SCHEME, PATH, AUTHORITY]],
    ['two :authority', [...pseudo(), AUTHORITY]],
    ['a late pseudo-header', [METHOD, SCHEME, AUTHORITY, ['x', 'y'], PATH]],
    ['an unknown pseudo-header', [...pseudo(), [':x', 'y']]],
    [':status', [...pseudo(), [':status', '200']]],
    [':protocol', [...pseudo({ method: 'CONNECT' }), [':protocol', 'websocket']]],
    ['no :path', [METHOD, SCHEME, AUTHORITY]],
    ['no :method', [SCHEME, PATH, AUTHORITY]],
    ['no :scheme', [METHOD, PATH, AUTHORITY]],
    ['an empty :path', pseudo({ path: '' })],
    ['a relative :path', pseudo({ path: 'admin' })],
    ['GET *', pseudo({ path: '*' })],
    ['an absolute :path', pseudo({ path: 'http://a/admin' })],
    ['a space in :path', pseudo({ path: '/a HTTP/1.1' })],
    ['CRLF in :path', pseudo({ path: '/a HTTP/1.1\r\nHost: a\r\n\r\nGET /admin' })],
    ['a space in :method', pseudo({ method: 'GET /admin HTTP/1.1\r\n' })],
    ['CRLF in a value', [...pseudo(), ['x', 'y\r\nz: a']]],
    ['LF in a value', [...pseudo(), ['x', 'y\nz: a']]],
    ['NUL in a value', [...pseudo(), ['x', 'y\0']]],
    ['CRLF in a name', [...pseudo(), ['x: y\r\nz', 'a']]],
    ['a colon in a name', [...pseudo(), ['x:y', 'a']]],
    ['an empty name', [...pseudo(), ['', 'a']]],
    ['a path in :authority', [METHOD, SCHEME, PATH, [':authority', 'a/b']]],
    ['userinfo in :authority', [METHOD, SCHEME, PATH, [':authority', 'a@b']]],
    ['a space in the host', [METHOD, SCHEME, PATH, ['host', 'a b']]],
    ['userinfo in the host', [METHOD, SCHEME, PATH, ['host', 'a@b']]],
    ['two hosts', [METHOD, SCHEME, PATH, ['host', 'a'], ['host', 'b']]],
    [':scheme with CRLF', [METHOD, [':scheme', 'http\r\nx: y'], PATH, AUTHORITY]],
    [':scheme that is none', [METHOD, [':scheme', 'http://admin/?'], PATH, AUTHORITY]],
  ])('%s', async (_name, fields) => {
    expect((await attack(headers(1, fields))).closed).toBe(true);
    expect(setup.seen).toEqual([]);
  });

  it('a pseudo-header in trailers', async () => {
    const bytes = [headers(1, pseudo(), Flag.endHeaders), headers(1, [[':path', '/admin']])];
    expect((await attack(Buffer.concat(bytes))).closed).toBe(true);
  });
});

describe('a broken HTTP/2 request costs its stream', () => {
  const data = (payload: string, flags: number = Flag.endStream): Buffer =>
    frame(FrameType.data, flags, 1, payload);
  const withLength = (length: string, end = false): Buffer =>
    headers(1, [...pseudo(), ['content-length', length]], Flag.endHeaders | (end ? Flag.endStream : 0));
  it.each<[string, Buffer, number]>([
    [
      'a body that is shorter than its length',
      Buffer.concat([withLength('10'), data('abc')]),
      ErrorCode.PROTOCOL_ERROR,
    ],
    ['a body that is longer', Buffer.concat([withLength('1'), data('abc')]), ErrorCode.PROTOCOL_ERROR],
    ['a length without body', withLength('5', true), ErrorCode.PROTOCOL_ERROR],
    ['a negative length', withLength('-1'), ErrorCode.PROTOCOL_ERROR],
    ['a signed length', withLength('+3'), ErrorCode.PROTOCOL_ERROR],
    [
      'different lengths',
      headers(1, [...pseudo(), ['content-length', '1'], ['content-length', '2']], Flag.endHeaders),
      ErrorCode.PROTOCOL_ERROR,
    ],
    [
      '101 fields',
      headers(1, [...pseudo(), ...Array.from({ length: 101 }, (_, i): Field => [`x${i}`, 'y'])]),
      ErrorCode.INTERNAL_ERROR,
    ],
  ])('%s', async (_name, bytes, code) => {
    const { reset, body } = await attack(bytes);
    expect([reset, body]).toEqual([code, '']);
    for (const { body: seen } of setup.seen) expect(seen.length).toBeLessThan(10);
  });
});

describe('an HTTP/2 flood ends its connection', () => {
  const open = (i: number): Buffer => headers(streamId(i), pseudo());
  it.each<[string, () => Buffer]>([
    [
      'rapid reset',
      () =>
        repeat(1_200, (i) => Buffer.concat([open(i), frame(FrameType.rstStream, 0, streamId(i), uint32(8))])),
    ],
    [
      'resets that the proxy is made to send',
      () =>
        repeat(1_200, (i) =>
          Buffer.concat([
            headers(streamId(i), pseudo(), Flag.endHeaders),
            frame(FrameType.windowUpdate, 0, streamId(i), uint32(0)),
          ]),
        ),
    ],
    [
      'CONTINUATION',
      () =>
        Buffer.concat([
          frame(FrameType.headers, 0, 1, block(pseudo())),
          repeat(1_000, () => frame(FrameType.continuation, 0, 1, block([['x', 'y']]))),
        ]),
    ],
    [
      'empty CONTINUATION',
      () =>
        Buffer.concat([
          frame(FrameType.headers, 0, 1),
          repeat(1_000, () => frame(FrameType.continuation, 0, 1)),
        ]),
    ],
    [
      'a frame within a header block',
      () =>
        Buffer.concat([
          frame(FrameType.headers, 0, 1, block(pseudo())),
          frame(FrameType.ping, 0, 0, '12345678'),
        ]),
    ],
    ['PING', () => repeat(20_000, () => frame(FrameType.ping, 0, 0, '12345678'))],
    ['SETTINGS', () => repeat(5_000, () => settings([SettingId.initialWindowSize, 1]))],
    [
      'empty DATA',
      () =>
        Buffer.concat([
          headers(1, pseudo(), Flag.endHeaders),
          repeat(5_000, () => frame(FrameType.data, 0, 1)),
        ]),
    ],
    ['PRIORITY', () => repeat(20_000, () => frame(FrameType.priority, 0, 1, Buffer.alloc(5)))],
    ['unknown frames', () => repeat(20_000, () => frame(0x7f, 0, 0, 'x'))],
    ['WINDOW_UPDATE', () => repeat(50_000, () => frame(FrameType.windowUpdate, 0, 0, uint32(1)))],
    ['WINDOW_UPDATE beyond all bounds', () => frame(FrameType.windowUpdate, 0, 0, uint32(0x7fff_ffff))],
    ['WINDOW_UPDATE of nothing', () => frame(FrameType.windowUpdate, 0, 0, uint32(0))],
    ['a window beyond all bounds', () => settings([SettingId.initialWindowSize, 0x8000_0000])],
    ['a frame beyond all bounds', () => Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])],
    ['DATA on a stream that is not open', () => frame(FrameType.data, 0, 1, 'x')],
    ['an even stream', () => headers(2, pseudo())],
    [
      'a stream backwards',
      () => Buffer.concat([headers(5, pseudo()), headers(3, pseudo({ path: '/admin' }))]),
    ],
    [
      'PUSH_PROMISE',
      () => frame(FrameType.pushPromise, Flag.endHeaders, 1, Buffer.concat([uint32(2), block(pseudo())])),
    ],
    [
      'a HPACK index that is not there',
      () => frame(FrameType.headers, 5, 1, Buffer.from([0xff, 0xff, 0x7f])),
    ],
    ['a HPACK integer without end', () => frame(FrameType.headers, 5, 1, Buffer.alloc(50, 0xff))],
    [
      'a HPACK table beyond all bounds',
      () => frame(FrameType.headers, 5, 1, Buffer.from([0x3f, 0xff, 0xff, 0x7f])),
    ],
    [
      'a HPACK string beyond its block',
      () => frame(FrameType.headers, 5, 1, Buffer.from([0, 0x7f, 0xff, 0x7f])),
    ],
    [
      'a header block of megabytes',
      () => repeat(4, () => frame(FrameType.headers, 0, 1, Buffer.alloc(900_000))),
    ],
    ['bad padding', () => frame(FrameType.headers, 0xd, 1, Buffer.from([200, 0]))],
    ['garbage behind the preface', () => Buffer.from('GET /admin HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3))],
  ])('%s', async (_name, bytes) => {
    const client = setup.open();
    client.write(Buffer.concat([start(), bytes()]));
    await until(() => client.closed);
    expect(setup.seen.length).toBeLessThan(1_200);
  });

  it('HPACK bombs are refused without being unpacked', async () => {
    const value = 'v'.repeat(4_000);
    const entry = Buffer.concat([Buffer.from([0x40]), block([['x', value]]).subarray(1)]);
    const bomb = (id: number): Buffer =>
      frame(FrameType.headers, 5, id, Buffer.concat([block(pseudo()), Buffer.alloc(16_000, 0xbe)]));
    const client = setup.open();
    const seed = frame(FrameType.headers, 5, 1, Buffer.concat([block(pseudo()), entry]));
    client.write(Buffer.concat([start(), seed, repeat(50, (i) => bomb(streamId(i + 1)))]));
    await client.answered();
    await pause(50);
    expect(paths().length).toBeLessThanOrEqual(1);
  });
});

describe('an HTTP/2 client that gives no credit', () => {
  it.each([0, 1])('with a window of %i costs no more than the buffers, and not for ever', async (size) => {
    const client = setup.open();
    const requests = repeat(10, (i) => headers(streamId(i), pseudo({ path: '/medium' })));
    client.write(Buffer.concat([start([SettingId.initialWindowSize, size]), requests]));
    await until(() => setup.seen.length === 10);
    // stream_idle_timeout.
    await until(noRequests);
    expect(client.bytes).toBeLessThan(10_000);
  });

  it('that trickles credit to keep the stream does not keep it', async () => {
    const client = setup.open();
    client.write(
      Buffer.concat([start([SettingId.initialWindowSize, 0]), headers(1, pseudo({ path: '/medium' }))]),
    );
    const shrink = setInterval(() => client.write(settings([SettingId.initialWindowSize, 0])), 300);
    try {
      await until(async () => setup.seen.length === 1 && (await noRequests()));
    } finally {
      clearInterval(shrink);
    }
  });

  it('nor reads is forgotten', async () => {
    for (let n = 0; n < 5; n++) {
      const client = setup.open();
      client.socket.pause();
      const most = [SettingId.initialWindowSize, 0x7fff_ffff] as const;
      const requests = repeat(20, (i) => headers(streamId(i), pseudo({ path: '/medium' })));
      client.write(
        Buffer.concat([start(most), frame(FrameType.windowUpdate, 0, 0, uint32(0x7fff_0000)), requests]),
      );
    }
    await until(async () => setup.seen.length === 100 && (await noRequests()));
    setup.disconnect();
  });

  it('can have no more streams than are allowed', async () => {
    const client = setup.open();
    client.write(
      Buffer.concat([start(), repeat(1_200, (i) => headers(streamId(i), pseudo(), Flag.endHeaders))]),
    );
    await until(
      () => client.closed || parseFrames(client.receivedBytes).some((f) => f.kind === FrameType.rstStream),
    );
    expect((await setup.active()).requests).toBeLessThanOrEqual(1_024);
    setup.disconnect();
    // A thousand upstream connections come and go.
    await until(noRequests);
  });

  it('and stops within its preface is cut off', async () => {
    const client = setup.open();
    client.write('PRI * HT');
    await until(() => client.closed);
  });

  it('and stops within the frame of a head is cut off', async () => {
    const client = setup.open();
    const whole = frame(FrameType.headers, Flag.endHeaders, 1, block(pseudo()));
    client.write(Buffer.concat([start(), whole.subarray(0, -3)]));
    await until(() => client.closed);
    expect(setup.seen).toEqual([]);
  });

  it('and stops within a head is cut off', async () => {
    const client = setup.open();
    client.write(Buffer.concat([start(), frame(FrameType.headers, 0, 1, block(pseudo()))]));
    await until(() => client.closed);
    expect(setup.seen).toEqual([]);
  });
});
