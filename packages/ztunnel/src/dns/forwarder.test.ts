import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { decode, encode, type Packet } from 'dns-packet';
import {
  ATTEMPT_MS,
  Forwarder,
  FORWARD_DEADLINE_MS,
  MAX_FORWARDED_QUERIES,
  type Exchange,
} from './forwarder.ts';
import { MAX_CACHED_RESPONSES } from './response-cache.ts';
import { at } from '../testing/records.ts';

const first = at('10.0.0.53', 53);
const second = at('10.0.1.53', 53);

function query(name: string, id = 1): Buffer {
  return encode({ type: 'query', id, questions: [{ name, type: 'A' }] });
}

function response(to: Buffer, code = 0, ttl = 60, more: Partial<Packet> = {}): Buffer {
  const { id = 0, questions = [] } = decode(to);
  const [question] = questions;
  const answers =
    code === 0 && question !== undefined
      ? [{ name: question.name, type: 'A', ttl, data: '192.0.2.1' } as const]
      : [];
  return encode({ type: 'response', id, flags: code, questions, answers, ...more });
}

function forwarder(exchange: Exchange, nameservers = [first, second], budget = { inFlight: 0 }) {
  const clock = new ManualClock();
  const upstream: { seconds: number; failed: boolean }[] = [];
  const subject = new Forwarder({ nameservers, exchange, budget, clock });
  const forward = (request: Buffer): Promise<Buffer> =>
    subject.forward(request, 'udp', (seconds, failed) => upstream.push({ seconds, failed }));
  return { clock, upstream, budget, subject, forward };
}

const never: Exchange = (_, __, ___, signal) =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

describe('forwarding', () => {
  it('gives the answer of the first server and asks no other', async () => {
    const asked: string[] = [];
    const { forward, upstream, budget, clock } = forwarder((server, request) => {
      asked.push(server.ip);
      return Promise.resolve(response(request));
    });
    expect(decode(await forward(query('a.test'))).answers).toHaveLength(1);
    expect(asked).toEqual(['10.0.0.53']);
    expect(upstream).toEqual([{ seconds: 0, failed: false }]);
    expect(budget.inFlight).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it.each<[string, Exchange]>([
    ['cannot be reached', () => Promise.reject(new Error('ECONNREFUSED'))],
    ['fails', (_, request) => Promise.resolve(response(request, 2))],
    ['refuses', (_, request) => Promise.resolve(response(request, 5))],
    ['answers something else', () => Promise.resolve(response(query('b.test')))],
  ])('asks the next server when the first one %s', async (_, failing) => {
    const { forward } = forwarder((server, request, ...rest) =>
      server === first ? failing(server, request, ...rest) : Promise.resolve(response(request)),
    );
    expect(decode(await forward(query('a.test')))).toMatchObject({ rcode: 'NOERROR' });
  });

  it('asks the next server as well when the first one is slow, and takes whichever answers', async () => {
    let answerFirst = (): void => undefined;
    const asked: string[] = [];
    const { forward, clock } = forwarder((server, request, transport, signal) => {
      asked.push(server.ip);
      if (server !== first) return never(server, request, transport, signal);
      return new Promise((resolve) => (answerFirst = () => resolve(response(request))));
    });
    const done = forward(query('a.test'));
    await clock.advance(ATTEMPT_MS);
    expect(asked).toEqual(['10.0.0.53', '10.0.1.53']);
    answerFirst();
    expect(decode(await done)).toMatchObject({ rcode: 'NOERROR' });
    expect(clock.pending).toBe(0);
  });

  it('asks a single server twice, as datagrams get lost', async () => {
    let count = 0;
    const { forward, clock } = forwarder(
      (server, request, transport, signal) =>
        count++ === 0 ? never(server, request, transport, signal) : Promise.resolve(response(request)),
      [first],
    );
    const done = forward(query('a.test'));
    await clock.advance(ATTEMPT_MS);
    expect(decode(await done)).toMatchObject({ rcode: 'NOERROR' });
  });

  it('passes on the upstream’s failure when there is nothing better', async () => {
    const { forward, upstream } = forwarder((_, request) => Promise.resolve(response(request, 5)));
    expect(decode(await forward(query('a.test')))).toMatchObject({ rcode: 'REFUSED' });
    expect(upstream).toEqual([{ seconds: 0, failed: true }]);
  });

  it.each([
    ['nobody answers in time', [first, second], 'no answer within 5 s'],
    ['there are no nameservers', [], 'no nameserver in resolv.conf'],
  ])('fails when %s', async (_, nameservers, message) => {
    const { forward, clock, upstream, budget } = forwarder(never, nameservers);
    const done = expect(forward(query('a.test'))).rejects.toMatchObject({ code: 'WEFT1350', message });
    await clock.advance(FORWARD_DEADLINE_MS);
    await done;
    expect(upstream).toMatchObject([{ failed: true }]);
    expect(budget.inFlight).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it('fails at once when too many queries wait', async () => {
    const { forward } = forwarder(never, [first], { inFlight: MAX_FORWARDED_QUERIES });
    await expect(forward(query('a.test'))).rejects.toMatchObject({ code: 'WEFT1351' });
  });

  it('ends what is on its way when the pod leaves', async () => {
    const { forward, subject, budget } = forwarder(never);
    const done = expect(forward(query('a.test'))).rejects.toMatchObject({ code: 'WEFT1350' });
    subject.close();
    await done;
    expect(budget.inFlight).toBe(0);
  });
});

describe('the cache', () => {
  const counting = (code: number, ttl: number, more: Partial<Packet> = {}) => {
    const state = { asked: 0 };
    const parts = forwarder((_, request) => {
      state.asked++;
      return Promise.resolve(response(request, code, ttl, more));
    });
    return { ...parts, state };
  };

  it('answers with the id of the request and what is left of the lifetime', async () => {
    const { forward, clock, state } = counting(0, 60);
    await forward(query('a.test', 1));
    await clock.advance(20_500);
    const { id, answers } = decode(await forward(query('a.test', 2)));
    expect({ id, ttl: answers?.[0], asked: state.asked }).toMatchObject({
      id: 2,
      ttl: { ttl: 40 },
      asked: 1,
    });
    await clock.advance(39_500);
    await forward(query('a.test', 3));
    expect(state.asked).toBe(2);
  });

  it.each<[string, number, number, Partial<Packet>]>([
    ['lives for no time', 0, 0, {}],
    ['is a failure', 2, 60, {}],
    ['is truncated', 0, 60, { flags: 0x0200 }],
    ['says that a name does not exist, but not for how long', 3, 60, {}],
  ])('keeps nothing that %s', async (_, code, ttl, more) => {
    const { forward, state } = counting(code, ttl, more);
    await forward(query('a.test'));
    const asked = state.asked;
    await forward(query('a.test'));
    expect(state.asked).toBe(2 * asked);
  });

  it('tells requests with other options apart', async () => {
    const { forward, state } = counting(0, 60);
    await forward(query('a.test'));
    await forward(encode({ type: 'query', flags: 0x0100, questions: [{ name: 'a.test', type: 'A' }] }));
    expect(state.asked).toBe(2);
  });

  it('forgets what was not asked for longest', async () => {
    const { forward, state } = counting(0, 60);
    for (let i = 0; i <= MAX_CACHED_RESPONSES; i++) await forward(query(`name-${i}.test`));
    await forward(query(`name-${MAX_CACHED_RESPONSES}.test`));
    expect(state.asked).toBe(MAX_CACHED_RESPONSES + 1);
    await forward(query('name-0.test'));
    expect(state.asked).toBe(MAX_CACHED_RESPONSES + 2);
  });
});
