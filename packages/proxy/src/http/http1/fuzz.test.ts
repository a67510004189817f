import { expect, it } from '@jest/globals';
import { HeaderMap } from '../../engine/types.ts';
import type { HttpServerStream } from '../codec.ts';
import { Http1Error } from './error.ts';
import { connectionPair, RawPeer, settle } from '../testing/raw-connection.ts';
import { Recorder } from '../testing/recorder.ts';
import { createHttp1ServerCodec } from './server.ts';
import { createHttp1ClientCodec } from './client.ts';

const ROUNDS = 400;

/** Numbers that are the same in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const pieces = [
  'GET / HTTP/1.1\r\n',
  'POST /x HTTP/1.1\r\n',
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.1 101 x\r\n',
  'Host: a\r\n',
  'host : a\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close\r\n',
  'Connection: upgrade\r\nUpgrade: websocket\r\n',
  '\r\n',
  '\n',
  '\r',
  ' ',
  '\t',
  '\0',
  '5\r\nabcde\r\n',
  '0\r\n\r\n',
  'abcde',
  'ffffffff\r\n',
  ';x=y',
  ':',
  'CONNECT a:1 HTTP/1.1\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  '\xff\xfe',
  'a'.repeat(300),
];

function garbage(next: () => number): string {
  let text = '';
  for (let n = 1 + Math.floor(next() * 12); n > 0; n--) {
    const piece = pieces[Math.floor(next() * pieces.length)] ?? '';
    text += next() < 0.15 ? piece.slice(0, Math.floor(next() * piece.length)) : piece;
  }
  return text;
}

it('survives any bytes as a server, and ends each request once', async () => {
  const next = random(7);
  for (let round = 0; round < ROUNDS; round++) {
    const { client, server } = connectionPair();
    const peer = new RawPeer(client);
    const open = new Map<HttpServerStream, Recorder>();
    let closes = 0;
    createHttp1ServerCodec(server, {
      onStream: (stream) => {
        const events = new Recorder();
        open.set(stream, events);
        if (next() < 0.5) queueMicrotask(() => stream.sendHeaders(HeaderMap.response(200), true));
        return events;
      },
      onBadRequest: (stream, error) => stream.sendHeaders(HeaderMap.response(error.status), true),
      onActiveStreams: () => undefined,
      onClose: () => void closes++,
    });
    for (let n = 0; n < 4; n++) {
      peer.send(garbage(next));
      if (next() < 0.3) await settle(2);
    }
    peer.stream.end();
    await settle(4);
    for (const [stream, events] of open) {
      if (!events.ended && events.reset === undefined) stream.reset('local-reset');
    }
    peer.stream.reset();
    await settle(4);
    expect(closes).toBe(1);
  }
});

it('survives any bytes as a client, and tells the end of each request once', async () => {
  const next = random(11);
  for (let round = 0; round < ROUNDS; round++) {
    const pair = connectionPair();
    const peer = new RawPeer(pair.server);
    let ends = 0;
    let closes = 0;
    const codec = createHttp1ClientCodec(pair.client, {
      onCapacity: () => undefined,
      onDraining: () => undefined,
      onClose: () => void closes++,
    });
    const count = (end: boolean): void => void (ends += end ? 1 : 0);
    codec
      .openStream({
        onHeaders: (_, end) => count(end),
        onData: (_, end) => count(end),
        onTrailers: () => count(true),
        onReset: () => count(true),
        onDrain: () => undefined,
      })
      ?.sendHeaders(HeaderMap.request({ method: 'GET', path: '/', authority: 'a' }), true);
    await settle(2);
    peer.send(next() < 0.6 ? `HTTP/1.1 200 OK\r\n${garbage(next)}` : garbage(next));
    peer.send(garbage(next));
    peer.stream.end();
    await settle(4);
    peer.stream.reset();
    await settle(4);
    expect([ends, closes]).toEqual([1, 1]);
  }
});

it('names its errors', () => {
  expect(new Http1Error('http1.codec_error').status).toBe(400);
});
