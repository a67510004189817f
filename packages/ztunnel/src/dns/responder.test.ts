import { PassThrough } from 'node:stream';
import type { Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { createMetricsRegistry, ManualClock, silentLogger, WeftError } from '@weft/telemetry';
import { decode, encode } from 'dns-packet';
import fc from 'fast-check';
import { DnsMetrics, MAX_DNS_LABEL_SETS } from './dns-metrics.ts';
import { Forwarder, type Exchange } from './forwarder.ts';
import { parseResolvConf } from './resolv-conf.ts';
import { DnsResponder, MAX_PENDING_QUERIES, MAX_QUERIES_PER_SECOND } from './responder.ts';
import { framed, StreamFrames } from './stream-frames.ts';
import { MAX_PIPELINED_QUERIES, StreamClient } from './stream-client.ts';
import type { Workload } from '../state/workload.ts';
import { at, service, storeOf, workload } from '../testing/records.ts';

const web = query('web');

function query(name: string): Buffer {
  return encode({ type: 'query', id: 9, questions: [{ name, type: 'A' }] });
}

function responder(more: { client?: () => Promise<Workload>; exchange?: Exchange } = {}) {
  const clock = new ManualClock();
  const registry = createMetricsRegistry();
  const errors: string[] = [];
  const subject = new DnsResponder({
    store: storeOf(service('web', '10.96.0.1')),
    clusterDomain: 'cluster.local',
    searchDomains: () => [],
    preferredNamespace: undefined,
    ipv6: true,
    random: () => 0,
    client: more.client ?? (() => Promise.resolve(workload('client', '10.0.0.1'))),
    forwarder: new Forwarder({
      nameservers: [at('10.0.0.53', 53)],
      exchange: more.exchange ?? (() => Promise.reject(new Error('unreachable'))),
      budget: { inFlight: 0 },
      clock,
    }),
    metrics: new DnsMetrics(registry),
    logger: silentLogger,
    clock,
    onError: ({ code }) => errors.push(code),
  });
  const ask = async (request: Buffer): Promise<unknown> => {
    const response = await subject.respond(request, 'udp');
    return response && decode(response);
  };
  return { subject, ask, clock, registry, errors };
}

describe('a responder', () => {
  it('answers SERVFAIL to a pod that the control plane does not know', async () => {
    const { ask, errors } = responder({
      client: () => Promise.reject(new WeftError('WEFT1310', 'pod default/client')),
    });
    expect(await ask(web)).toMatchObject({ rcode: 'SERVFAIL', questions: [{ name: 'web' }] });
    expect(errors).toEqual(['WEFT1310']);
  });

  it('answers SERVFAIL when no nameserver can be reached, and counts that', async () => {
    const { ask, errors, registry } = responder();
    expect(await ask(query('a.test'))).toMatchObject({ rcode: 'SERVFAIL' });
    expect(errors).toEqual(['WEFT1350']);
    expect(await registry.metrics()).toMatch(
      /istio_dns_upstream_failures_total\{request_query_type="a",.* 1\n/,
    );
  });

  it('refuses more queries of a pod than may be pending, but not names that it knows meanwhile', async () => {
    const { subject, ask, errors } = responder({ exchange: () => new Promise(() => undefined) });
    for (let i = 0; i < MAX_PENDING_QUERIES - 1; i++) void subject.respond(query(`n${i}.test`), 'udp');
    expect(await ask(web)).toMatchObject({ rcode: 'NOERROR' });
    void subject.respond(query('last.test'), 'udp');
    expect(await ask(query('more.test'))).toMatchObject({ rcode: 'SERVFAIL' });
    expect(errors).toEqual(['WEFT1351']);
  });

  it('drops what comes faster than a pod may ask', async () => {
    const { ask, clock } = responder();
    for (let i = 0; i < MAX_QUERIES_PER_SECOND; i++) await ask(Buffer.from(web));
    expect(await ask(web)).toBeUndefined();
    await clock.advance(10);
    expect(await ask(web)).toMatchObject({ rcode: 'NOERROR' });
  });

  it('is silent to what is too short for an answer', async () => {
    expect(await responder().ask(Buffer.alloc(11))).toBeUndefined();
  });
});

it('keeps metrics of a bounded number of workloads', async () => {
  const registry = createMetricsRegistry();
  const metrics = new DnsMetrics(registry);
  for (let i = 0; i <= MAX_DNS_LABEL_SETS; i++) metrics.request(workload(`w${i}`, undefined), 1, 'udp');
  const text = await registry.metrics();
  expect(text).not.toContain('source_canonical_service="w0"');
  expect(text).toContain(`source_canonical_service="w${MAX_DNS_LABEL_SETS}"`);
});

it('cuts a stream into messages wherever its chunks end', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 20 }),
      (messages, cuts) => {
        const stream = Buffer.concat(messages.map((message) => framed(Buffer.from(message))));
        const frames = new StreamFrames();
        const found: string[] = [];
        let offset = 0;
        for (const length of [...cuts, stream.length]) {
          for (const message of frames.push(stream.subarray(offset, offset + length)))
            found.push(message.toString('hex'));
          offset += length;
        }
        expect(found).toEqual(messages.map((message) => Buffer.from(message).toString('hex')));
      },
    ),
    { numRuns: 300 },
  );
});

describe('a client on TCP', () => {
  const client = () => {
    const sent: Buffer[] = [];
    const waiting: ((response: Buffer) => void)[] = [];
    // The part of a socket that is in use.
    const socket = Object.assign(new PassThrough(), { setTimeout: () => undefined }) as unknown as Socket;
    socket.write = (chunk: unknown) => {
      sent.push(chunk as Buffer);
      return true;
    };
    new StreamClient(socket, { respond: () => new Promise((resolve) => waiting.push(resolve)) });
    return { socket, sent, waiting };
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it('is not read from while too many of its queries are pending', async () => {
    const { socket, waiting, sent } = client();
    socket.emit('data', Buffer.concat(Array.from({ length: MAX_PIPELINED_QUERIES }, () => framed(web))));
    expect(socket.isPaused()).toBe(true);
    waiting[0]?.(Buffer.from('answer'));
    await turn();
    expect(socket.isPaused()).toBe(false);
    expect(sent.map(String)).toEqual(['\0\u0006answer']);
  });

  it('that half-closes still gets its answers', async () => {
    const { socket, waiting, sent } = client();
    socket.emit('data', framed(web));
    socket.emit('end');
    expect(socket.writableEnded).toBe(false);
    waiting[0]?.(Buffer.from('answer'));
    await turn();
    expect(sent).toHaveLength(1);
    expect(socket.writableEnded).toBe(true);
  });
});

it('reads the nameservers of a resolv.conf and the last of its search lists', () => {
  const text =
    '# comment\ndomain c\nsearch a.test. b\nnameserver 10.96.0.10\nnameserver fd00::a\nnameserver nonsense\noptions ndots:5\n';
  expect(parseResolvConf(text)).toEqual({
    nameservers: [at('10.96.0.10', 53), at('fd00::a', 53)],
    search: ['a.test', 'b'],
  });
});
