import { expect, it } from '@jest/globals';
import { HeaderMap } from '../../engine/types.ts';
import type { HttpServerStream } from '../codec.ts';
import { connectionPair, settle } from '../testing/raw-connection.ts';
import { Recorder } from '../testing/recorder.ts';
import { createHttp2ClientCodec } from './client.ts';
import { createHttp2ServerCodec } from './server.ts';

const ROUNDS = 40;

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

it('delivers every byte in order, whatever the windows, pauses and resets of neighbours', async () => {
  const next = random(5);
  const size = (max: number): number => Math.floor(next() ** 3 * max);
  for (let round = 0; round < ROUNDS; round++) {
    const window = 65_535 + size(200_000);
    const options = { initialStreamWindowBytes: window, initialConnectionWindowBytes: window };
    const pair = connectionPair();
    const inbound: { stream: HttpServerStream; events: Recorder }[] = [];
    createHttp2ServerCodec(
      pair.server,
      {
        onStream: (stream) => {
          const events = new Recorder();
          inbound.push({ stream, events });
          return events;
        },
        onBadRequest: () => undefined,
        onActiveStreams: () => undefined,
        onClose: () => undefined,
      },
      options,
    );
    const client = createHttp2ClientCodec(
      pair.client,
      { onCapacity: () => undefined, onDraining: () => undefined, onClose: () => undefined },
      options,
    );
    const sent = new Map<string, string>();
    const answers = new Map<string, Recorder>();
    for (let id = 0; id < 8; id++) {
      const events = new Recorder();
      const stream = client.openStream(events);
      const path = `/${id}`;
      stream?.sendHeaders(HeaderMap.request({ method: 'POST', path, authority: 'a' }), false);
      const reset = next() < 0.2;
      let body = '';
      for (let n = size(6); n >= 0; n--) {
        const chunk = String.fromCharCode(97 + id).repeat(size(150_000));
        body += chunk;
        stream?.sendData(Buffer.from(chunk), n === 0 && !reset);
      }
      if (reset) {
        if (next() < 0.5) await settle(1);
        stream?.reset('local-reset');
      } else {
        sent.set(path, body);
        answers.set(path, events);
      }
    }
    for (let turn = 0; turn < 60; turn++) {
      for (const { stream } of inbound) {
        if (next() < 0.3) stream.pauseReading();
        else stream.resumeReading();
      }
      await settle(1);
    }
    for (const { stream } of inbound) stream.resumeReading();
    await settle(60);
    for (const { stream, events } of inbound) {
      const path = events.headers?.path ?? '';
      const body = sent.get(path);
      if (body === undefined) {
        expect(events.reset).toBe('remote-reset');
        continue;
      }
      expect([path, events.body === body, events.ended]).toEqual([path, true, true]);
      stream.sendHeaders(HeaderMap.response(200), false);
      stream.sendData(Buffer.from(body), true);
    }
    await settle(60);
    for (const [path, events] of answers) {
      expect([path, events.body === sent.get(path), events.ended]).toEqual([path, true, true]);
    }
    expect(client.activeStreams).toBe(0);
    client.close();
    await settle(2);
  }
});
