import { describe, expect, it } from '@jest/globals';
import { CodecSide } from '../testing/codec-side.ts';
import * as f from '../testing/frames.ts';
import { ErrorCode, Flag, FrameType, SettingId } from './constants.ts';
import type { Http2Role } from './connection-events.ts';

/**
 * Requirements of RFC 9113 by their section, beyond the tables of connection.test.ts: what comes in, and the exact
 * frames that answer it. `GOAWAY X` ends the connection, `RST 1 X` the stream alone.
 */
const { endHeaders, endStream } = Flag;

type Case = readonly [
  section: string,
  what: string,
  role: Http2Role,
  bytes: readonly Buffer[],
  answer: readonly string[],
];

const open = f.connect(1);
const half = f.connect(1, 'a:1', endHeaders | endStream);
const ok = f.headers(1, [':status', '200']);
const request = (...fields: string[]): Buffer =>
  f.headers(1, [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'a:1', ...fields]);
const goaway = (code: keyof typeof ErrorCode): string[] => [`GOAWAY ${code}`];
const reset = (code: keyof typeof ErrorCode, id = 1): string[] => [`RST ${id} ${code}`];
const reserved = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes);
  copy.writeUInt8((copy[5] ?? 0) | 0x80, 5);
  return copy;
};

const priority = (id: number, dependency: number): Buffer =>
  f.frame(FrameType.priority, 0, id, Buffer.concat([f.uint32(dependency), Buffer.of(0)]));
const dependent = (id: number): Buffer => {
  const payload = Buffer.concat([
    f.uint32(id),
    Buffer.of(0),
    f.block([':method', 'CONNECT', ':authority', 'a:1']),
  ]);
  return f.frame(FrameType.headers, endHeaders | Flag.priority, id, payload);
};

// biome-ignore format: a table has one case a line
const cases: readonly Case[] = [
  ['4.1', 'the reserved bit of a stream id is ignored', 'server', [reserved(open), reserved(f.ping())], ['PONG']],
  ['4.1', 'unknown flags are ignored', 'server', [f.connect(1, 'a:1', endHeaders | 0xc2)], []],
  ['4.1', 'a frame of an unknown type is discarded', 'server', [f.frame(0x42, 0xff, 0, Buffer.alloc(20)), f.ping()], ['PONG']],
  ['4.2', 'a frame as large as our MAX_FRAME_SIZE is taken', 'server', [open, f.data(1, Buffer.alloc(1 << 20))], []],
  ['4.2', 'PING above the size', 'server', [f.frame(FrameType.ping, 0, 0, Buffer.alloc(9))], goaway('FRAME_SIZE_ERROR')],
  ['4.3', 'a header block that does not decode, on a stream that is reset', 'server', [open, f.reset(1, 8), f.frame(FrameType.headers, endHeaders, 1, Buffer.of(0x80))], goaway('COMPRESSION_ERROR')],
  ['5.1', 'idle: RST_STREAM', 'client', [f.reset(3, 0)], goaway('PROTOCOL_ERROR')],
  ['5.1', 'idle: WINDOW_UPDATE', 'client', [f.windowUpdate(3, 1)], goaway('PROTOCOL_ERROR')],
  ['5.1', 'idle: DATA', 'client', [f.data(3, 'x')], goaway('PROTOCOL_ERROR')],
  ['5.1', 'idle: PRIORITY is taken', 'server', [f.frame(FrameType.priority, 0, 7, Buffer.alloc(5)), open], []],
  ['5.1', 'half-closed (remote): WINDOW_UPDATE, PRIORITY and RST_STREAM are taken', 'server', [half, f.windowUpdate(1, 1), f.frame(FrameType.priority, 0, 1, Buffer.alloc(5)), f.reset(1, 8), f.ping()], ['PONG']],
  ['5.1', 'half-closed (remote): CONTINUATION', 'server', [half, f.frame(FrameType.continuation, endHeaders, 1)], goaway('PROTOCOL_ERROR')],
  ['5.1', 'closed by the peer: DATA', 'server', [open, f.reset(1, 8), f.data(1, 'x')], reset('STREAM_CLOSED')],
  ['5.1', 'closed by the peer: HEADERS', 'server', [open, f.reset(1, 8), f.connect(1)], reset('STREAM_CLOSED')],
  ['5.1', 'closed by the peer: WINDOW_UPDATE, PRIORITY and RST_STREAM are ignored', 'server', [open, f.reset(1, 8), f.windowUpdate(1, 1), f.frame(FrameType.priority, 0, 1, Buffer.alloc(5)), f.reset(1, 8)], []],
  ['5.1', 'closed by the peer: CONTINUATION', 'server', [open, f.reset(1, 8), f.frame(FrameType.continuation, endHeaders, 1)], goaway('PROTOCOL_ERROR')],
  ['5.1.1', 'a stream that is skipped is closed', 'server', [f.connect(3), f.connect(1)], goaway('PROTOCOL_ERROR')],
  ['5.3.2', 'a request that depends on itself (RFC 7540 §5.3.1)', 'server', [dependent(1)], reset('PROTOCOL_ERROR')],
  ['5.3.2', 'a stream that depends on itself later', 'server', [open, priority(1, 0x8000_0001), f.ping()], [...reset('PROTOCOL_ERROR'), 'PONG']],
  ['5.3.2', 'an idle stream that depends on itself', 'server', [priority(1, 1)], goaway('PROTOCOL_ERROR')],
  ['5.3.2', 'any other dependency is ignored', 'server', [open, priority(1, 3), priority(5, 1), f.reset(1, 8), priority(1, 1), f.ping()], ['PONG']],
  ['5.4.1', 'an unknown error code in RST_STREAM is like INTERNAL_ERROR', 'server', [open, f.reset(1, 0xdead_beef), f.ping()], ['PONG']],
  ['5.4.1', 'an unknown error code in GOAWAY ends nothing by itself', 'server', [f.goaway(0, 0xdead_beef), f.ping()], ['PONG']],
  ['6.1', 'padding that exceeds DATA which is dropped', 'server', [f.headers(1, [':method', 'CONNECT']), f.frame(FrameType.data, Flag.padded, 1, Buffer.of(2, 0))], [...reset('PROTOCOL_ERROR'), 'GOAWAY PROTOCOL_ERROR']],
  ['6.1', 'padding of DATA which is dropped', 'server', [f.headers(1, [':method', 'CONNECT']), f.frame(FrameType.data, Flag.padded, 1, Buffer.of(2, 1, 0, 0)), f.frame(FrameType.data, Flag.padded, 1, Buffer.of(0)), f.ping()], [...reset('PROTOCOL_ERROR'), 'PONG']],
  ['6.2', 'HEADERS with padding and priority', 'server', [f.frame(FrameType.headers, endHeaders | Flag.padded | Flag.priority, 1, Buffer.concat([Buffer.of(2), Buffer.alloc(5), f.block([':method', 'CONNECT', ':authority', 'a:1']), Buffer.alloc(2)]))], []],
  ['6.4', 'RST_STREAM above the size', 'server', [open, f.frame(FrameType.rstStream, 0, 1, Buffer.alloc(5))], goaway('FRAME_SIZE_ERROR')],
  ['6.5', 'empty SETTINGS are acknowledged', 'server', [f.settings()], ['SETTINGS ACK']],
  ['6.5.2', 'the last value of a setting counts', 'server', [f.settings([SettingId.maxFrameSize, 16_384], [SettingId.maxFrameSize, 1])], goaway('PROTOCOL_ERROR')],
  ['6.5.2', 'MAX_CONCURRENT_STREAMS of a client means nothing', 'server', [f.settings([SettingId.maxConcurrentStreams, 0]), open], ['SETTINGS ACK']],
  ['6.6', 'PUSH_PROMISE although we disabled push', 'client', [ok, f.frame(FrameType.pushPromise, endHeaders, 1, Buffer.concat([f.uint32(2), f.block([':method', 'GET'])]))], goaway('PROTOCOL_ERROR')],
  ['6.7', 'PING is answered with its own bytes, in order', 'server', [f.ping(0, 'aaaaaaaa'), f.ping(0, 'bbbbbbbb')], ['PONG', 'PONG']],
  ['6.8', 'GOAWAY below the size', 'client', [f.frame(FrameType.goaway, 0, 0, Buffer.alloc(4))], goaway('FRAME_SIZE_ERROR')],
  ['6.9', 'WINDOW_UPDATE above the size', 'server', [f.frame(FrameType.windowUpdate, 0, 0, Buffer.alloc(5))], goaway('FRAME_SIZE_ERROR')],
  ['6.9', 'WINDOW_UPDATE of 0 whose reserved bit is set', 'server', [f.windowUpdate(0, 0x8000_0000)], goaway('PROTOCOL_ERROR')],
  ['6.9', 'DATA on a stream that is gone counts for the connection', 'client', [ok, f.reset(1, 0), f.data(1, Buffer.alloc(10))], reset('STREAM_CLOSED')],
  ['6.9.2', 'SETTINGS that lift a stream window above 2^31-1', 'server', [open, f.windowUpdate(1, 2 ** 31 - 1 - 65_535), f.settings([SettingId.initialWindowSize, 65_536])], ['SETTINGS ACK', 'GOAWAY FLOW_CONTROL_ERROR']],
  ['6.10', 'HEADERS inside the header block of another stream', 'server', [f.connect(1, 'a:1', 0), f.connect(3)], goaway('PROTOCOL_ERROR')],
  ['6.10', 'DATA inside a header block', 'server', [open, f.connect(3, 'a:1', 0), f.data(1, 'x')], goaway('PROTOCOL_ERROR')],
  ['6.10', 'CONTINUATION on stream 0', 'server', [f.connect(1, 'a:1', 0), f.frame(FrameType.continuation, endHeaders, 0)], goaway('PROTOCOL_ERROR')],
  ['6.10', 'CONTINUATION behind the end of a header block', 'server', [open, f.frame(FrameType.continuation, endHeaders, 1)], goaway('PROTOCOL_ERROR')],
  ['8.1', 'trailers that end with DATA still owed', 'server', [f.headers(1, [':method', 'POST', ':scheme', 'https', ':path', '/', ':authority', 'a:1', 'content-length', '4']), f.data(1, 'ab'), f.headers(1, ['x', 'y'], endHeaders | endStream)], reset('PROTOCOL_ERROR')],
  ['8.1.1', 'a body that is longer than announced', 'server', [request('content-length', '1'), f.data(1, 'ab')], reset('PROTOCOL_ERROR')],
  ['8.1.1', 'a body that is shorter than announced', 'server', [request('content-length', '3'), f.data(1, 'ab', endStream)], reset('PROTOCOL_ERROR')],
  ['8.2.1', 'a field name without octets', 'server', [request('', 'x')], reset('PROTOCOL_ERROR')],
  ['8.2.1', 'a field name with a space', 'server', [request('a b', 'x')], reset('PROTOCOL_ERROR')],
  ['8.2.1', 'a field name with a colon inside', 'server', [request('a:b', 'x')], reset('PROTOCOL_ERROR')],
  ['8.2.1', 'a field name with DEL', 'server', [request('a\x7f', 'x')], reset('PROTOCOL_ERROR')],
  ['8.2.1', 'NUL in a value', 'server', [request('a', 'x\0y')], reset('PROTOCOL_ERROR')],
  ['8.2.1', 'a tab at the end of a value', 'server', [request('a', 'x\t')], reset('PROTOCOL_ERROR')],
  ['8.2.2', 'transfer-encoding', 'server', [request('transfer-encoding', 'chunked')], reset('PROTOCOL_ERROR')],
  ['8.2.2', 'upgrade', 'server', [request('upgrade', 'h2c')], reset('PROTOCOL_ERROR')],
  ['8.2.2', 'keep-alive', 'server', [request('keep-alive', '1')], reset('PROTOCOL_ERROR')],
  ['8.2.2', 'proxy-connection', 'server', [request('proxy-connection', 'close')], reset('PROTOCOL_ERROR')],
  ['8.2.2', 'te: trailers is taken', 'server', [request('te', 'trailers')], []],
  ['8.3', 'an unknown pseudo-header', 'server', [f.headers(1, [':method', 'CONNECT', ':authority', 'a:1', ':x', 'y'])], reset('PROTOCOL_ERROR')],
  ['8.3.1', 'an empty :path', 'server', [f.headers(1, [':method', 'GET', ':scheme', 'https', ':path', '', ':authority', 'a:1'])], reset('PROTOCOL_ERROR')],
  ['8.3.1', 'a request without :method', 'server', [f.headers(1, [':scheme', 'https', ':path', '/', ':authority', 'a:1'])], reset('PROTOCOL_ERROR')],
  ['8.3.1', 'a request without :scheme', 'server', [f.headers(1, [':method', 'GET', ':path', '/', ':authority', 'a:1'])], reset('PROTOCOL_ERROR')],
  ['8.3.2', 'a response with a request pseudo-header', 'client', [f.headers(1, [':status', '200', ':path', '/'])], reset('PROTOCOL_ERROR')],
  ['8.3.2', 'a response with two statuses', 'client', [f.headers(1, [':status', '200', ':status', '200'])], reset('PROTOCOL_ERROR')],
  ['8.3.2', 'a status of four digits', 'client', [f.headers(1, [':status', '2000'])], reset('PROTOCOL_ERROR')],
  ['8.5', 'CONNECT that ends its direction at once', 'server', [half], []],
  ['8.5', 'HEADERS on an open tunnel', 'server', [open, f.headers(1, ['a', 'b'])], reset('PROTOCOL_ERROR')],
];

/** Frames that matter here, in the words of the table. */
function answers(side: CodecSide): string[] {
  return f
    .describeFrames(side.sent())
    .filter((line) => !line.startsWith('windowUpdate'))
    .map((line) =>
      line
        .replace(/^goaway 0 last=\d+ /, 'GOAWAY ')
        .replace(/^rstStream /, 'RST ')
        .replace('ping 0 ACK', 'PONG')
        .replace('settings 0 ACK', 'SETTINGS ACK'),
    );
}

describe('RFC 9113', () => {
  it.each(cases)('§%s %s, as a %s', (_section, _what, role, bytes, answer) => {
    const side = new CodecSide(role);
    if (role === 'server') side.receive(f.clientStart(), f.settingsAck());
    else {
      side.receive(f.settings(), f.settingsAck());
      side.open([':method', 'CONNECT', ':authority', 'a:1']);
    }
    side.sent();
    side.receive(...bytes);
    expect(answers(side)).toEqual(answer);
    expect(side.connection.usable).toBe(!answer.some((line) => line.startsWith('GOAWAY')));
  });

  it('§3.4 begins with SETTINGS before anything else, as a server', () => {
    expect(f.describeFrames(new CodecSide('server').sent())[0]).toBe('settings 0');
  });

  it('§5.1.2 opens no more streams than the peer allows, and more when it allows more', () => {
    const side = new CodecSide('client');
    side.receive(f.settings([SettingId.maxConcurrentStreams, 1]));
    expect(side.open([':method', 'CONNECT', ':authority', 'a:1'])).toBeDefined();
    expect(side.open([':method', 'CONNECT', ':authority', 'a:1'])).toBeUndefined();
    side.receive(f.settings([SettingId.maxConcurrentStreams, 2]));
    expect(side.open([':method', 'CONNECT', ':authority', 'a:1'])).toBeDefined();
  });

  it('§4.2 sends no frame above the MAX_FRAME_SIZE of the peer, header blocks included', () => {
    const side = new CodecSide('client');
    side.receive(f.settings());
    const fields = [':method', 'CONNECT', ':authority', 'a:1', 'x', 'ÿ'.repeat(30_000)];
    side.open(fields);
    const lines = f.describeFrames(side.sent());
    expect(lines.slice(-2)).toEqual(['headers 1', 'continuation 1']);
  });
});
