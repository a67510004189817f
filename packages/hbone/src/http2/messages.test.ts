import { describe, expect, it } from '@jest/globals';
import type { FlatFields } from './hpack/decoder.ts';
import { defaultHttp2Limits, type MessageRules, tunnelRules } from './limits.ts';
import { contentLength, parseRequestHead, parseTrailers } from './message-head.ts';
import { Http2Connection } from './connection.ts';
import type { ConnectionEvents } from './connection-events.ts';
import { BatchPool } from './output.ts';
import { ReceiveBudget } from './receive-budget.ts';
import type { DataSource, Http2Stream, RequestKind, StreamEvents } from './stream.ts';

const GET = [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'a:1'];
const POST = [':method', 'POST', ...GET.slice(2)];
const WEBSOCKET = [':method', 'CONNECT', ':protocol', 'websocket', ...GET.slice(2)];

const bytes = (text: string, ended: boolean): DataSource => {
  let at = 0;
  return {
    get size() {
      return text.length - at;
    },
    ended,
    take: (target, offset, length) => {
      target.write(text.slice(at, at + length), offset, 'latin1');
      at += length;
    },
  };
};

/** A client and a server codec, joined. */
class Pair {
  readonly log: string[] = [];
  readonly client: Http2Connection;
  readonly server: Http2Connection;
  serverStream: Http2Stream | undefined;

  constructor(rules: Partial<MessageRules> = {}) {
    const make = (role: 'client' | 'server', events: ConnectionEvents): Http2Connection =>
      new Http2Connection({
        role,
        events,
        pool: new BatchPool(),
        budget: new ReceiveBudget(),
        limits: defaultHttp2Limits,
        rules: { ...tunnelRules, ...rules },
        now: () => 0,
      });
    const events = (side: string): ConnectionEvents => ({
      onRequest: (stream, head) => {
        this.serverStream = stream;
        this.log.push(`${side} request ${head.method} ${head.protocol ?? ''}`.trim());
        return this.streamEvents(side, this.server, () => stream);
      },
      onStreamClosed: () => undefined,
      onWritable: () => undefined,
      onSettings: () => undefined,
      onPingAck: () => undefined,
      onGoaway: (_, code) => void this.log.push(`${side} goaway ${code}`),
      onFailure: (error) => void this.log.push(`${side} failure ${error.kind}`),
    });
    this.client = make('client', events('client'));
    this.server = make('server', events('server'));
    this.exchange();
  }

  open(fields: FlatFields, kind: RequestKind = 'message', end = false): Http2Stream | undefined {
    const opened: { stream?: Http2Stream } = {};
    const events = this.streamEvents('client', this.client, () => opened.stream);
    const stream = this.client.openStream(fields, events, kind, end);
    if (stream !== undefined) opened.stream = stream;
    this.exchange();
    return stream;
  }

  respond(fields: FlatFields, end = false): void {
    if (this.serverStream !== undefined) this.server.sendHeaders(this.serverStream, fields, end);
    this.exchange();
  }

  send(stream: Http2Stream | undefined, text: string, end: boolean): void {
    const side = stream === this.serverStream ? this.server : this.client;
    if (stream !== undefined) side.sendFrom(stream, bytes(text, end));
    this.exchange();
  }

  exchange(): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const [from, to] of [
        [this.client, this.server],
        [this.server, this.client],
      ] as const) {
        for (let batch = from.output.take(); batch !== undefined; batch = from.output.take()) {
          moved = true;
          to.receive(Buffer.from(batch.bytes));
          from.output.release(batch);
        }
      }
    }
  }

  private streamEvents(
    side: string,
    on: Http2Connection,
    stream: () => Http2Stream | undefined,
  ): StreamEvents {
    const say = (text: string): void => void this.log.push(`${side} ${text}`);
    return {
      onResponse: (head, end) => say(`response ${head.status}${end ? ' end' : ''}`),
      onInterim: (head) => say(`interim ${head.status} ${head.fields.join('=')}`),
      onData: (piece) => {
        say(`data ${piece.toString('latin1')}`);
        const of = stream();
        if (of !== undefined) on.delivered(of, piece.length);
      },
      onEnd: () => say('end'),
      onTrailers: (fields) => say(`trailers ${fields.join('=')}`),
      onReset: (code, by) => say(`reset ${code} ${by}`),
      onWritable: () => undefined,
      onLost: () => say('lost'),
    };
  }
}

describe('messages', () => {
  it('have interim responses, bodies and trailers', () => {
    const pair = new Pair();
    const stream = pair.open(POST);
    pair.send(stream, 'up', false);
    if (stream !== undefined) pair.client.sendHeaders(stream, ['t', '1'], true);
    pair.exchange();
    pair.respond([':status', '103', 'link', 'x']);
    pair.respond([':status', '200']);
    pair.send(pair.serverStream, 'down', false);
    pair.respond(['grpc-status', '0'], true);
    expect(pair.log).toEqual([
      'server request POST',
      'server data up',
      'server trailers t=1',
      'client interim 103 link=x',
      'client response 200',
      'client data down',
      'client trailers grpc-status=0',
    ]);
    expect([pair.client.streams.size, pair.server.streams.size]).toEqual([0, 0]);
  });

  it.each<[name: string, length: string, parts: [string, boolean][], ok: boolean]>([
    [
      'exact',
      '4',
      [
        ['ab', false],
        ['cd', true],
      ],
      true,
    ],
    [
      'too long',
      '3',
      [
        ['ab', false],
        ['cd', true],
      ],
      false,
    ],
    [
      'too short',
      '5',
      [
        ['ab', false],
        ['cd', true],
      ],
      false,
    ],
    ['no number', '4x', [['abcd', true]], false],
  ])('with a content-length that is %s', (_, length, parts, ok) => {
    const pair = new Pair();
    const stream = pair.open([...POST, 'content-length', length]);
    for (const [text, end] of parts) pair.send(stream, text, end);
    expect(pair.log.includes('client reset 1 peer')).toBe(!ok);
    expect(pair.log.includes('server end')).toBe(ok);
  });

  it('answer HEAD with a length and nothing else', () => {
    const pair = new Pair();
    pair.open([':method', 'HEAD', ...GET.slice(2)], 'head', true);
    pair.respond([':status', '200', 'content-length', '5'], true);
    expect(pair.log.at(-1)).toBe('client response 200 end');
  });

  it.each<[rules: Partial<MessageRules>, last: string]>([
    [{}, 'client reset 1 peer'],
    [{ malformed: 'close-connection' }, 'client goaway 1'],
  ])('that are malformed, with %j', (rules, last) => {
    const pair = new Pair(rules);
    pair.open([...GET, 'connection', 'close'], 'message', true);
    expect(pair.log.at(-1)).toBe(last);
  });

  it.each<[rules: Partial<MessageRules>, last: string]>([
    [{}, 'client response 431 end'],
    [{ oversizedHead: 'reset-stream' }, 'client reset 2 peer'],
  ])('whose head is too large, with %j', (rules, last) => {
    const pair = new Pair(rules);
    const many = Array.from({ length: 300 }, (_, i) => (i % 2 === 0 ? `n${i}` : 'v'));
    pair.open([...GET, ...many], 'message', true);
    expect(pair.log).toContain(last);
  });

  it('upgrade by extended CONNECT where it is enabled, and nowhere else', () => {
    const enabled = new Pair({ extendedConnect: true });
    expect(enabled.client.peer.extendedConnect).toBe(true);
    const stream = enabled.open(WEBSOCKET, 'connect');
    enabled.respond([':status', '200']);
    enabled.send(stream, 'x', true);
    enabled.send(enabled.serverStream, 'y', true);
    expect(enabled.log).toEqual([
      'server request CONNECT websocket',
      'client response 200',
      'server data x',
      'server end',
      'client data y',
      'client end',
    ]);
    const disabled = new Pair();
    disabled.open(WEBSOCKET, 'connect');
    expect(disabled.log).toEqual(['client reset 1 peer']);
  });
});

it.each<[name: string, fields: FlatFields]>([
  ['a path without slash', [...GET.slice(0, 4), ':path', 'x', ':authority', 'a']],
  ['* for GET', [...GET.slice(0, 4), ':path', '*', ':authority', 'a']],
  ['a blank in the path', [...GET.slice(0, 4), ':path', '/a b', ':authority', 'a']],
  [':protocol without CONNECT', [...GET, ':protocol', 'websocket']],
])('refuses %s', (_, fields) => {
  expect(parseRequestHead(fields, true).kind).toBe('malformed');
});

it('keeps repeated fields in order, and joins them by name on demand', () => {
  const parsed = parseRequestHead([...GET, 'a', '1', 'cookie', 'x', 'a', '2', 'cookie', 'y']);
  if (parsed.kind !== 'head') throw new Error(parsed.reason);
  expect(parsed.head.fields).toEqual(['a', '1', 'cookie', 'x', 'a', '2', 'cookie', 'y']);
  expect([...parsed.head.headers]).toEqual([
    ['a', '1, 2'],
    ['cookie', 'x; y'],
  ]);
});

it('takes no pseudo field in trailers', () => {
  expect(parseTrailers([':path', '/']).kind).toBe('malformed');
});

it.each<[FlatFields, number | 'invalid' | undefined]>([
  [[], undefined],
  [['content-length', '12'], 12],
  [['content-length', '12', 'content-length', '12'], 12],
  [['content-length', '12', 'content-length', '13'], 'invalid'],
  [['content-length', '+1'], 'invalid'],
  [['content-length', ''], 'invalid'],
])('reads the length of %j: %s', (fields, length) => {
  expect(contentLength(fields)).toBe(length);
});
