import { describe, expect, it } from '@jest/globals';
import { BufferSource, CodecSide } from '../testing/codec-side.ts';
import * as f from '../testing/frames.ts';
import { defaultFloodLimits } from './flood-guard.ts';
import { CLIENT_PREFACE, ErrorCode, Flag, FrameType, SettingId } from './constants.ts';

const { endHeaders, endStream, padded, priority } = Flag;
const GET = [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'a:1'];

/** A server that got the client's start, with its own start already sent. */
function server(limits?: ConstructorParameters<typeof CodecSide>[1], budget?: number): CodecSide {
  const side = new CodecSide('server', limits, budget);
  side.receive(f.clientStart(), f.settingsAck());
  side.sent();
  return side;
}

/** A client with stream 1 open. */
function client(limits?: ConstructorParameters<typeof CodecSide>[1]): CodecSide {
  const side = new CodecSide('client', limits);
  side.receive(f.settings());
  side.open([':method', 'CONNECT', ':authority', 'a:1']);
  side.sent();
  return side;
}

const frames = (side: CodecSide): string[] => f.describeFrames(side.sent());

describe('the start of a connection', () => {
  it('announces the windows, the frame size and the header list of a server', () => {
    const bytes = new CodecSide('server').sent();
    expect(bytes.toString('hex')).toBe(
      [
        '000018040000000000',
        '000400400000',
        '000500100000',
        '000600010000',
        '0003000000c8',
        '000004080000000000',
        '00ff0001',
      ].join(''),
    );
  });

  it('sends preface, SETTINGS without push and the first request of a client', () => {
    const side = new CodecSide('client', { maxHeaderListBytes: 16_384 });
    side.open([':method', 'CONNECT', ':authority', '10.0.0.1:80']);
    const bytes = side.sent();
    expect(bytes.subarray(0, 24)).toEqual(CLIENT_PREFACE);
    expect(bytes.subarray(24).toString('hex')).toBe(
      [
        '000018040000000000',
        '000400400000',
        '000500100000',
        '000600004000',
        '000200000000',
        '000004080000000000',
        '00ff0001',
        '000013010400000001',
        // :method CONNECT with indexing; :authority without, Huffman coded
        '4207434f4e4e454354',
        '0188081702e05c371e07',
      ].join(''),
    );
    expect(f.describeFrames(bytes)).toEqual(['settings 0', 'windowUpdate 0 +16711681', 'headers 1']);
  });

  it('acknowledges SETTINGS and PING', () => {
    const side = new CodecSide('server');
    side.sent();
    side.receive(f.clientStart(), f.ping());
    expect(frames(side)).toEqual(['settings 0 ACK', 'ping 0 ACK']);
  });

  it('takes its input cut into single bytes', () => {
    const side = new CodecSide('server');
    const all = Buffer.concat([f.clientStart(), f.connect(1), f.data(1, 'hello'), f.data(1, 'x', endStream)]);
    for (const byte of all) side.receive(Buffer.of(byte));
    expect(side.log).toEqual(['request 1 CONNECT 10.0.0.1:80', ...Array(6).fill('data 1 1'), 'end 1']);
  });
});

describe('a violation that ends the connection', () => {
  const open = f.connect(1);
  const cases: [name: string, code: keyof typeof ErrorCode, bytes: Buffer[]][] = [
    ['DATA on stream 0', 'PROTOCOL_ERROR', [f.data(0, 'x')]],
    ['DATA on an idle stream', 'PROTOCOL_ERROR', [f.data(1, 'x')]],
    ['HEADERS on stream 0', 'PROTOCOL_ERROR', [f.connect(0)]],
    ['HEADERS on an even stream', 'PROTOCOL_ERROR', [f.connect(2)]],
    ['HEADERS on a lower stream than before', 'PROTOCOL_ERROR', [f.connect(5), f.connect(3)]],
    ['PRIORITY on stream 0', 'PROTOCOL_ERROR', [f.frame(FrameType.priority, 0, 0, Buffer.alloc(5))]],
    [
      'PRIORITY of a wrong size on an idle stream',
      'FRAME_SIZE_ERROR',
      [f.frame(FrameType.priority, 0, 1, Buffer.alloc(4))],
    ],
    ['RST_STREAM on stream 0', 'PROTOCOL_ERROR', [f.reset(0, 0)]],
    ['RST_STREAM on an idle stream', 'PROTOCOL_ERROR', [f.reset(1, 0)]],
    [
      'RST_STREAM of a wrong size',
      'FRAME_SIZE_ERROR',
      [open, f.frame(FrameType.rstStream, 0, 1, Buffer.alloc(3))],
    ],
    ['SETTINGS on a stream', 'PROTOCOL_ERROR', [f.frame(FrameType.settings, 0, 1)]],
    [
      'SETTINGS ACK with a payload',
      'FRAME_SIZE_ERROR',
      [f.frame(FrameType.settings, Flag.ack, 0, Buffer.alloc(6))],
    ],
    ['SETTINGS of a partial entry', 'FRAME_SIZE_ERROR', [f.frame(FrameType.settings, 0, 0, Buffer.alloc(5))]],
    ['ENABLE_PUSH 2', 'PROTOCOL_ERROR', [f.settings([SettingId.enablePush, 2])]],
    ['INITIAL_WINDOW_SIZE 2^31', 'FLOW_CONTROL_ERROR', [f.settings([SettingId.initialWindowSize, 2 ** 31])]],
    ['MAX_FRAME_SIZE 16383', 'PROTOCOL_ERROR', [f.settings([SettingId.maxFrameSize, 16_383])]],
    ['MAX_FRAME_SIZE 2^24', 'PROTOCOL_ERROR', [f.settings([SettingId.maxFrameSize, 2 ** 24])]],
    ['PUSH_PROMISE', 'PROTOCOL_ERROR', [f.frame(FrameType.pushPromise, endHeaders, 1, Buffer.alloc(4))]],
    ['PING on a stream', 'PROTOCOL_ERROR', [f.frame(FrameType.ping, 0, 1, Buffer.alloc(8))]],
    ['PING of a wrong size', 'FRAME_SIZE_ERROR', [f.frame(FrameType.ping, 0, 0, Buffer.alloc(7))]],
    ['GOAWAY on a stream', 'PROTOCOL_ERROR', [f.frame(FrameType.goaway, 0, 1, Buffer.alloc(8))]],
    ['GOAWAY of a wrong size', 'FRAME_SIZE_ERROR', [f.frame(FrameType.goaway, 0, 0, Buffer.alloc(7))]],
    ['GOAWAY that raises its last stream', 'PROTOCOL_ERROR', [f.goaway(0), f.goaway(2)]],
    [
      'WINDOW_UPDATE of a wrong size',
      'FRAME_SIZE_ERROR',
      [f.frame(FrameType.windowUpdate, 0, 0, Buffer.alloc(3))],
    ],
    ['WINDOW_UPDATE of 0 on the connection', 'PROTOCOL_ERROR', [f.windowUpdate(0, 0)]],
    ['WINDOW_UPDATE on an idle stream', 'PROTOCOL_ERROR', [f.windowUpdate(1, 1)]],
    ['a connection window above 2^31-1', 'FLOW_CONTROL_ERROR', [f.windowUpdate(0, 2 ** 31 - 1)]],
    ['CONTINUATION without HEADERS', 'PROTOCOL_ERROR', [f.frame(FrameType.continuation, endHeaders, 1)]],
    ['another frame inside a header block', 'PROTOCOL_ERROR', [f.connect(1, 'a:1', 0), f.ping()]],
    [
      'an unknown frame inside a header block',
      'PROTOCOL_ERROR',
      [f.connect(1, 'a:1', 0), f.frame(0x77, 0, 1)],
    ],
    [
      "another stream's CONTINUATION",
      'PROTOCOL_ERROR',
      [f.connect(1, 'a:1', 0), f.frame(FrameType.continuation, endHeaders, 3)],
    ],
    [
      'DATA whose padding exceeds the payload',
      'PROTOCOL_ERROR',
      [open, f.frame(FrameType.data, padded, 1, Buffer.of(5, 1, 2))],
    ],
    ['padded DATA without a pad length', 'FRAME_SIZE_ERROR', [open, f.frame(FrameType.data, padded, 1)]],
    [
      'HEADERS whose padding exceeds the payload',
      'PROTOCOL_ERROR',
      [f.frame(FrameType.headers, padded | endHeaders, 1, Buffer.of(9, 1, 2))],
    ],
    [
      'HEADERS without room for the priority',
      'FRAME_SIZE_ERROR',
      [f.frame(FrameType.headers, priority | endHeaders, 1, Buffer.alloc(4))],
    ],
    [
      'a frame above our MAX_FRAME_SIZE',
      'FRAME_SIZE_ERROR',
      [open, f.frame(FrameType.data, 0, 1, Buffer.alloc(1024 * 1024 + 1))],
    ],
    [
      'an index beyond the header tables',
      'COMPRESSION_ERROR',
      [f.frame(FrameType.headers, endHeaders, 1, Buffer.of(0xff, 0x00))],
    ],
    [
      'a header block that is cut off',
      'COMPRESSION_ERROR',
      [f.frame(FrameType.headers, endHeaders, 1, Buffer.of(0x41, 0x05, 0x61))],
    ],
  ];
  it.each(cases)('%s: %s', (_name, code, bytes) => {
    const side = server();
    side.receive(...bytes);
    expect(frames(side).at(-1)).toMatch(new RegExp(`^goaway 0 last=\\d+ ${code}$`));
    expect(side.connection.usable).toBe(false);
    side.receive(f.ping());
    expect(frames(side)).toEqual([]);
  });

  it.each([
    ['is no HTTP/2', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
    ['is a TLS record', Buffer.from('160301020001', 'hex')],
    ['begins with another frame than SETTINGS', Buffer.concat([CLIENT_PREFACE, f.ping()])],
    ['begins with an acknowledgement', Buffer.concat([CLIENT_PREFACE, f.settingsAck()])],
  ])('answers a client that %s with PROTOCOL_ERROR', (_name, bytes) => {
    const side = new CodecSide('server');
    side.sent();
    side.receive(bytes);
    expect(frames(side)).toEqual(['goaway 0 last=0 PROTOCOL_ERROR']);
  });

  it.each([
    ['DATA', f.data(1, 'x')],
    ['HEADERS', f.connect(1)],
  ])('%s on a stream that ended: STREAM_CLOSED', (_name, late) => {
    const side = server();
    side.receive(f.connect(1, 'a:1', endHeaders | endStream));
    const stream = side.streams.get(1);
    if (stream === undefined) throw new Error('no stream');
    side.connection.sendHeaders(stream, [':status', '200'], true);
    side.receive(late);
    expect(frames(side)).toEqual(['headers 1 END', 'goaway 0 last=1 STREAM_CLOSED']);
  });

  it('a connection window that the peer exceeds: FLOW_CONTROL_ERROR', () => {
    const limited = new CodecSide('server', { connectionWindowBytes: 65_535 }, 0);
    limited.delivering = false;
    limited.receive(f.clientStart(), f.connect(1), f.data(1, Buffer.alloc(65_535)));
    limited.sent();
    limited.receive(f.data(1, 'x'));
    expect(frames(limited)).toEqual(['goaway 0 last=1 FLOW_CONTROL_ERROR']);
  });

  it('HEADERS of a server on a stream that the client never opened: PROTOCOL_ERROR', () => {
    for (const id of [2, 3]) {
      const side = client();
      side.receive(f.headers(id, [':status', '200']));
      expect(frames(side)).toEqual(['goaway 0 last=0 PROTOCOL_ERROR']);
    }
  });

  it('ENABLE_PUSH of a server: PROTOCOL_ERROR', () => {
    const side = client();
    side.receive(f.settings([SettingId.enablePush, 1]));
    expect(frames(side)).toEqual(['goaway 0 last=0 PROTOCOL_ERROR']);
  });
});

describe('a violation that ends the stream alone', () => {
  const cases: [name: string, code: keyof typeof ErrorCode, bytes: Buffer[]][] = [
    [
      'CONNECT with :scheme',
      'PROTOCOL_ERROR',
      [f.headers(1, [':method', 'CONNECT', ':scheme', 'https', ':authority', 'a:1'])],
    ],
    [
      'CONNECT with :path',
      'PROTOCOL_ERROR',
      [f.headers(1, [':method', 'CONNECT', ':path', '/', ':authority', 'a:1'])],
    ],
    ['CONNECT without :authority', 'PROTOCOL_ERROR', [f.headers(1, [':method', 'CONNECT'])]],
    [
      'CONNECT with :protocol',
      'PROTOCOL_ERROR',
      [f.headers(1, [':method', 'CONNECT', ':protocol', 'websocket', ':authority', 'a:1'])],
    ],
    [
      'a request without :path',
      'PROTOCOL_ERROR',
      [f.headers(1, [':method', 'GET', ':scheme', 'https', ':authority', 'a:1'])],
    ],
    [
      'a repeated pseudo-header',
      'PROTOCOL_ERROR',
      [f.headers(1, [':method', 'CONNECT', ':authority', 'a:1', ':authority', 'b:1'])],
    ],
    [
      'a response pseudo-header',
      'PROTOCOL_ERROR',
      [f.headers(1, [':method', 'CONNECT', ':authority', 'a:1', ':status', '200'])],
    ],
    [
      'a pseudo-header behind a field',
      'PROTOCOL_ERROR',
      [f.headers(1, [':method', 'CONNECT', 'a', 'b', ':authority', 'a:1'])],
    ],
    ['an upper case field name', 'PROTOCOL_ERROR', [f.headers(1, [...GET, 'Baggage', 'x'])]],
    ['a line break in a value', 'PROTOCOL_ERROR', [f.headers(1, [...GET, 'baggage', 'x\r\ny'])]],
    ['a space around a value', 'PROTOCOL_ERROR', [f.headers(1, [...GET, 'baggage', ' x'])]],
    ['a connection header', 'PROTOCOL_ERROR', [f.headers(1, [...GET, 'connection', 'close'])]],
    ['te other than trailers', 'PROTOCOL_ERROR', [f.headers(1, [...GET, 'te', 'gzip'])]],
    [
      'a second header section on a tunnel',
      'PROTOCOL_ERROR',
      [f.connect(1), f.headers(1, ['a', 'b'], endHeaders | endStream)],
    ],
    [
      'DATA behind END_STREAM',
      'STREAM_CLOSED',
      [f.connect(1, 'a:1', endHeaders | endStream), f.data(1, 'x')],
    ],
    [
      'HEADERS behind END_STREAM',
      'STREAM_CLOSED',
      [f.connect(1, 'a:1', endHeaders | endStream), f.connect(1)],
    ],
    ['WINDOW_UPDATE of 0', 'PROTOCOL_ERROR', [f.connect(1), f.windowUpdate(1, 0)]],
    ['a stream window above 2^31-1', 'FLOW_CONTROL_ERROR', [f.connect(1), f.windowUpdate(1, 2 ** 31 - 1)]],
    [
      'PRIORITY of a wrong size',
      'FRAME_SIZE_ERROR',
      [f.connect(1), f.frame(FrameType.priority, 0, 1, Buffer.alloc(4))],
    ],
  ];
  it.each(cases)('%s: %s', (_name, code, bytes) => {
    const side = server();
    side.receive(...bytes);
    expect(frames(side)).toEqual([`rstStream 1 ${code}`]);
    expect(side.connection.usable).toBe(true);
    side.receive(f.connect(3));
    expect(side.log.at(-1)).toBe('request 3 CONNECT 10.0.0.1:80');
  });

  it('a stream window that the peer exceeds: FLOW_CONTROL_ERROR', () => {
    const side = server({ streamWindowBytes: 100 });
    side.delivering = false;
    side.receive(f.connect(1), f.data(1, Buffer.alloc(100)), f.data(1, 'x'));
    expect(frames(side)).toEqual(['rstStream 1 FLOW_CONTROL_ERROR']);
    expect(side.log.at(-1)).toBe('reset 1 FLOW_CONTROL_ERROR local');
  });

  it.each([
    ['DATA before the response', f.data(1, 'x'), 'PROTOCOL_ERROR'],
    ['status 101', f.headers(1, [':status', '101']), 'PROTOCOL_ERROR'],
    ['a response without status', f.headers(1, ['a', 'b']), 'PROTOCOL_ERROR'],
    [
      'an interim response that ends',
      f.headers(1, [':status', '100'], endHeaders | endStream),
      'PROTOCOL_ERROR',
    ],
    [
      'trailers on a tunnel',
      Buffer.concat([f.headers(1, [':status', '200']), f.headers(1, ['a', 'b'], endHeaders | endStream)]),
      'PROTOCOL_ERROR',
    ],
  ])('of a server, %s', (_name, bytes, code) => {
    const side = client();
    side.receive(bytes);
    expect(frames(side)).toEqual([`rstStream 1 ${code}`]);
    expect(side.connection.usable).toBe(true);
  });

  it('a stream beyond MAX_CONCURRENT_STREAMS: REFUSED_STREAM', () => {
    const side = server({ maxConcurrentStreams: 1 });
    side.receive(f.connect(1), f.connect(3));
    expect(frames(side)).toEqual(['rstStream 3 REFUSED_STREAM']);
  });

  it('a header list above the limit: 431, with the header table still in step', () => {
    const side = server({ maxHeaderListBytes: 1_000 });
    // Indexes a 900 byte value and refers to it twice.
    const big = 'x'.repeat(900);
    const bomb = Buffer.concat([
      Buffer.of(0x40, 1, 0x61, 0x7f, 0x85, 0x06),
      Buffer.from(big),
      Buffer.of(0xbe, 0xbe),
    ]);
    side.receive(f.frame(FrameType.headers, endHeaders, 1, bomb));
    expect(frames(side)).toEqual(['headers 1 END', 'rstStream 1 NO_ERROR']);
    side.receive(f.connect(3));
    expect(side.log).toEqual(['request 3 CONNECT 10.0.0.1:80']);
  });
});

describe('frames that are ignored', () => {
  it.each([
    ['unknown types', f.frame(0xfa, 0xff, 1, Buffer.alloc(100))],
    ['PRIORITY', f.frame(FrameType.priority, 0, 9, Buffer.alloc(5))],
    ['unknown settings', f.settings([0xff, 1])],
    ['an unknown PING flag', f.frame(FrameType.ping, 0xfe, 0, Buffer.alloc(8))],
  ])('%s', (_name, bytes) => {
    const side = server();
    side.receive(bytes, f.connect(1));
    expect(side.log).toEqual(['request 1 CONNECT 10.0.0.1:80']);
  });

  it('what was under way when we reset a stream', () => {
    const side = server();
    side.receive(f.connect(1));
    const stream = side.streams.get(1);
    if (stream === undefined) throw new Error('no stream');
    side.connection.resetStream(stream, ErrorCode.CANCEL);
    side.receive(
      f.data(1, 'late'),
      f.windowUpdate(1, 5),
      f.headers(1, ['a', 'b'], endHeaders | endStream),
      f.reset(1, 0),
    );
    expect(frames(side)).toEqual(['rstStream 1 CANCEL']);
    expect(side.log).toEqual(['request 1 CONNECT 10.0.0.1:80']);
  });

  it('interim responses', () => {
    const side = client();
    side.receive(f.headers(1, [':status', '103']), f.headers(1, [':status', '200']));
    expect(side.log).toEqual(['response 1 200']);
  });
});

describe('flow control', () => {
  it('stops at the stream window and goes on when it opens', () => {
    const side = new CodecSide('server');
    side.receive(f.clientStart([SettingId.initialWindowSize, 10]), f.connect(1));
    side.sent();
    const stream = side.streams.get(1);
    if (stream === undefined) throw new Error('no stream');
    const source = new BufferSource(Buffer.alloc(25), true);
    expect(side.connection.sendFrom(stream, source)).toBe(10);
    expect(side.connection.sendFrom(stream, source)).toBe(0);
    side.receive(f.windowUpdate(1, 5));
    expect(side.log.at(-1)).toBe('writable 1');
    expect(side.connection.sendFrom(stream, source)).toBe(5);
    side.receive(f.settings([SettingId.initialWindowSize, 0]));
    expect(stream.sendWindow).toBe(-10);
    expect(side.connection.sendFrom(stream, source)).toBe(0);
    side.receive(f.settings([SettingId.initialWindowSize, 20]));
    expect(side.connection.sendFrom(stream, source)).toBe(10);
    expect(frames(side).filter((line) => line.startsWith('data'))).toEqual([
      'data 1 10',
      'data 1 5',
      'data 1 10 END',
    ]);
  });

  it('stops at the connection window and says when it opens', () => {
    const side = new CodecSide('server');
    side.receive(f.clientStart([SettingId.initialWindowSize, 1 << 20]), f.connect(1));
    const stream = side.streams.get(1);
    if (stream === undefined) throw new Error('no stream');
    const source = new BufferSource(Buffer.alloc(65_536), false);
    let sent = 0;
    for (let n = 1; n > 0; sent += n) n = side.connection.sendFrom(stream, source);
    expect(sent).toBe(65_535);
    side.receive(f.windowUpdate(0, 1));
    expect(side.log.at(-1)).toBe('writable');
    expect(side.connection.sendFrom(stream, source)).toBe(1);
  });

  it('ends a stream without any window', () => {
    const side = new CodecSide('server');
    side.receive(f.clientStart([SettingId.initialWindowSize, 0]), f.connect(1));
    side.sent();
    const stream = side.streams.get(1);
    if (stream === undefined) throw new Error('no stream');
    side.connection.sendFrom(stream, new BufferSource(Buffer.alloc(0), true));
    expect(frames(side)).toEqual(['data 1 0 END']);
  });

  it('returns connection credit for a stalled stream, and stream credit on delivery only', () => {
    const side = server({ streamWindowBytes: 400_000, connectionWindowBytes: 400_000 });
    side.delivering = false;
    side.receive(f.connect(1), f.data(1, Buffer.alloc(100_000)));
    expect(frames(side)).toEqual(['windowUpdate 0 +100000']);
    const stream = side.streams.get(1);
    if (stream === undefined) throw new Error('no stream');
    side.connection.delivered(stream, 100_000);
    expect(frames(side)).toEqual(['windowUpdate 1 +100000']);
    expect(side.budget.queuedBytes).toBe(0);
  });

  it('withholds connection credit while the budget of the process is used up', () => {
    const side = server({ streamWindowBytes: 400_000, connectionWindowBytes: 400_000 }, 150_000);
    side.delivering = false;
    side.receive(
      f.connect(1),
      f.data(1, Buffer.alloc(100_000)),
      f.connect(3),
      f.data(3, Buffer.alloc(100_000)),
    );
    expect(frames(side)).toEqual(['windowUpdate 0 +100000']);
    const first = side.streams.get(1);
    if (first === undefined) throw new Error('no stream');
    // Delivery brings the budget below its limit: everything withheld is released, not only the delivered part.
    side.connection.delivered(first, 100_000);
    expect(frames(side)).toEqual(['windowUpdate 1 +100000', 'windowUpdate 0 +100000']);
  });

  it('grants the default window of the RFC until its SETTINGS are acknowledged', () => {
    const side = new CodecSide('server', { streamWindowBytes: 100 });
    side.delivering = false;
    side.receive(f.clientStart(), f.connect(1), f.data(1, Buffer.alloc(200)), f.settingsAck());
    side.sent();
    side.receive(f.data(1, 'x'));
    expect(frames(side)).toEqual(['rstStream 1 FLOW_CONTROL_ERROR']);
  });

  it('counts padding, and returns its credit', () => {
    const side = server({ streamWindowBytes: 400, connectionWindowBytes: 65_535 });
    side.receive(
      f.connect(1),
      f.frame(FrameType.data, padded, 1, Buffer.concat([Buffer.of(199), Buffer.alloc(200)])),
    );
    expect(side.log.at(-1)).toBe('data 1 1');
    expect(frames(side)).toEqual(['windowUpdate 1 +201']);
  });

  it('returns the connection credit of DATA that nobody takes', () => {
    const late = server({ connectionWindowBytes: 65_536 });
    late.receive(f.connect(1));
    const stream = late.streams.get(1);
    if (stream === undefined) throw new Error('no stream');
    late.connection.resetStream(stream, ErrorCode.CANCEL);
    late.receive(f.data(1, Buffer.alloc(40_000)));
    expect(frames(late)).toEqual(['rstStream 1 CANCEL', 'windowUpdate 0 +40000']);
  });
});

describe('the end of a connection', () => {
  it('drains a server in two steps: streams under way are taken, later ones ignored', () => {
    const side = server();
    side.receive(f.connect(1));
    side.connection.drain();
    const [first, drainPing] = frames(side);
    expect(first).toBe('goaway 0 last=2147483647 NO_ERROR');
    expect(drainPing).toBe('ping 0');
    side.receive(f.connect(3));
    side.receive(f.frame(FrameType.ping, Flag.ack, 0, Buffer.from('weftdrai')));
    expect(frames(side)).toEqual(['goaway 0 last=3 NO_ERROR']);
    side.receive(f.connect(5), f.data(5, 'x'));
    expect(frames(side)).toEqual([]);
    expect(side.log).toEqual(['request 1 CONNECT 10.0.0.1:80', 'request 3 CONNECT 10.0.0.1:80']);
    expect(side.connection.drained).toBe(false);
    for (const stream of side.streams.values()) side.connection.resetStream(stream, 0);
    expect(side.connection.drained).toBe(true);
  });

  it('tells the client of streams that a GOAWAY leaves unprocessed', () => {
    const side = client();
    side.open([':method', 'CONNECT', ':authority', 'b:1']);
    side.receive(f.goaway(1));
    expect(side.log).toEqual(['reset 3 REFUSED_STREAM peer', 'goaway 1 NO_ERROR']);
    expect(side.connection.canOpen).toBe(false);
    side.receive(f.headers(1, [':status', '200']));
    expect(side.log.at(-1)).toBe('response 1 200');
  });

  it('loses every stream with the transport', () => {
    const side = server();
    side.receive(f.connect(1), f.connect(3));
    side.connection.close(new Error('gone'));
    expect(side.log.slice(2)).toEqual(['lost 1', 'lost 3']);
    expect(side.sent().length).toBe(0);
  });
});

describe('floods are answered with ENHANCE_YOUR_CALM', () => {
  const many = (count: number, one: (i: number) => Buffer): Buffer =>
    Buffer.concat(Array.from({ length: count }, (_, i) => one(i)));
  const cases: [name: string, bytes: () => Buffer][] = [
    [
      'rapid reset',
      () => many(1_100, (i) => Buffer.concat([f.connect(2 * i + 1), f.reset(2 * i + 1, ErrorCode.CANCEL)])),
    ],
    ['streams that make us reset them', () => many(1_100, (i) => f.headers(2 * i + 1, ['a', 'b']))],
    ['streams beyond the limit', () => many(1_300, (i) => f.connect(2 * i + 1))],
    ['PING', () => many(200, () => f.ping())],
    ['unsolicited PING answers', () => many(200, () => f.ping(Flag.ack))],
    ['SETTINGS', () => many(50, () => f.settings())],
    ['SETTINGS acknowledgements', () => many(50, () => f.settingsAck())],
    ['SETTINGS of many entries', () => f.settings(...Array.from({ length: 65 }, () => [0xff, 1] as const))],
    ['empty DATA', () => Buffer.concat([f.connect(1), many(200, () => f.data(1))])],
    [
      'DATA of padding alone',
      () => Buffer.concat([f.connect(1), many(200, () => f.frame(FrameType.data, padded, 1, Buffer.of(0)))]),
    ],
    ['PRIORITY', () => many(2_100, () => f.frame(FrameType.priority, 0, 1, Buffer.alloc(5)))],
    ['unknown frames', () => many(2_100, () => f.frame(0x77, 0, 0))],
    ['WINDOW_UPDATE', () => many(10_100, () => f.windowUpdate(0, 1))],
    [
      'CONTINUATION',
      () => Buffer.concat([f.connect(1, 'a:1', 0), many(20, () => f.frame(FrameType.continuation, 0, 1))]),
    ],
    [
      'a header block larger than the list may be',
      () =>
        Buffer.concat([
          f.connect(1, 'a:1', 0),
          many(5, () => f.frame(FrameType.continuation, 0, 1, Buffer.alloc(16_000, 0x82))),
        ]),
    ],
    ['one huge HEADERS frame', () => f.frame(FrameType.headers, endHeaders, 1, Buffer.alloc(70_000, 0x82))],
    ['a huge GOAWAY', () => f.frame(FrameType.goaway, 0, 0, Buffer.alloc(20_000))],
  ];
  it.each(cases)('%s', (_name, bytes) => {
    const side = server();
    side.receive(bytes());
    expect(frames(side).at(-1)).toMatch(/^goaway 0 last=\d+ ENHANCE_YOUR_CALM$/);
  });

  it('answers that the peer does not read', () => {
    const side = server({
      maxUnreadBytes: 1_000,
      floods: { ...defaultFloodLimits, pings: { burst: 1e6, perSecond: 0 } },
    });
    side.receive(many(100, () => f.ping()));
    expect(frames(side).at(-1)).toBe('goaway 0 last=0 ENHANCE_YOUR_CALM');
  });

  it('while established tunnels may be reset for ever, as TCP connections are', () => {
    const side = server();
    for (let id = 1; id < 10_000; id += 2) {
      side.receive(f.connect(id));
      const stream = side.streams.get(id);
      if (stream === undefined) throw new Error('no stream');
      side.connection.sendHeaders(stream, [':status', '200'], false);
      side.receive(f.reset(id, ErrorCode.CANCEL));
      side.sent();
    }
    expect(side.connection.usable).toBe(true);
  });

  it('and an allowance comes back with time', () => {
    const side = server();
    for (let second = 0; second < 60; second++) {
      side.now = second * 1_000;
      side.receive(many(15, () => f.ping()));
      side.sent();
    }
    expect(side.connection.usable).toBe(true);
  });
});
