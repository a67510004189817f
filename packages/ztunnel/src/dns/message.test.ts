import { describe, expect, it } from '@jest/globals';
import { decode, encode, type OptAnswer, type Packet } from 'dns-packet';
import fc from 'fast-check';
import { isResponseTo, readRequest, readResponse, type Question } from './message-reader.ts';
import { maxUdpBytes, writeAnswer, writeError } from './message-writer.ts';
import { ip } from '../testing/records.ts';

const RECURSION_DESIRED = 0x0100;

function query(name: string, type: 'A' | 'AAAA' | 'SRV' = 'A', more: Partial<Packet> = {}): Buffer {
  return encode({ type: 'query', id: 4711, flags: RECURSION_DESIRED, questions: [{ name, type }], ...more });
}

function edns(udpPayloadSize: number, ednsVersion = 0): Partial<Packet> {
  const opt: OptAnswer = {
    type: 'OPT',
    name: '.',
    udpPayloadSize,
    ednsVersion,
    extendedRcode: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  return { additionals: [opt] };
}

function questionOf(bytes: Buffer): Question {
  const request = readRequest(bytes);
  if (request.kind !== 'question') throw new TypeError(request.kind);
  return request.question;
}

/** A header with these flags and one question's count, before the given bytes. */
function raw(flags: number, questions: number, rest: readonly number[] = []): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(flags, 2);
  header.writeUInt16BE(questions, 4);
  return Buffer.concat([header, Buffer.from(rest)]);
}

describe('a request', () => {
  it('is read as another implementation wrote it', () => {
    expect(questionOf(query('Web.Example.COM', 'AAAA', edns(1232)))).toMatchObject({
      id: 4711,
      recursionDesired: true,
      checkingDisabled: false,
      name: 'web.example.com',
      type: 28,
      edns: { udpBytes: 1232, version: 0, dnssecOk: false },
    });
  });

  it.each<[string, Buffer, string]>([
    ['an update', raw(0x2800, 1), 'opaque'],
    ['a notification', raw(0x2000, 1), 'opaque'],
    ['two questions', raw(0x0100, 2, [0, 0, 1, 0, 1, 0, 0, 1, 0, 1]), 'opaque'],
    ['no question', raw(0x0100, 0), 'opaque'],
    ['a question of class CHAOS', raw(0x0100, 1, [1, 97, 0, 0, 16, 0, 3]), 'opaque'],
    ['a label with a dot in it', raw(0x0100, 1, [3, 97, 46, 98, 0, 0, 1, 0, 1]), 'opaque'],
    ['a newer version of EDNS', query('a.b', 'A', edns(1232, 1)), 'opaque'],
    ['a response', raw(0x8100, 1, [0, 0, 1, 0, 1]), 'malformed'],
    ['a name that points to itself', raw(0x0100, 1, [0xc0, 12, 0, 1, 0, 1]), 'malformed'],
    ['a name that ends too early', raw(0x0100, 1, [9, 97]), 'malformed'],
    [
      'a name of 256 bytes',
      raw(0x0100, 1, [...Array.from({ length: 127 }, () => [1, 97]).flat(), 1, 0, 0, 1, 0, 1]),
      'malformed',
    ],
    ['a question that is not there', raw(0x0100, 1), 'malformed'],
    ['11 bytes', Buffer.alloc(11), 'runt'],
  ])('with %s is %s', (_, bytes, kind) => {
    expect(readRequest(bytes).kind).toBe(kind);
  });

  it('never makes the reader throw or run on, whatever its bytes are', () => {
    const mutated = fc
      .tuple(
        fc.domain(),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }),
        fc.nat(60),
      )
      .map(([name, changes, cut]) => {
        const bytes = query(name, 'A', edns(4096));
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        return bytes.subarray(0, Math.max(0, bytes.length - (cut > 40 ? cut - 40 : 0)));
      });
    const arbitrary = fc.oneof(
      mutated,
      fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(arbitrary, (bytes) => {
        const request = readRequest(bytes);
        readResponse(bytes);
        if (bytes.length >= 12) isResponseTo(bytes, bytes);
        if (request.kind !== 'question') return;
        const answer = writeAnswer(
          request.question,
          { canonicalName: undefined, addresses: [ip('10.0.0.1')] },
          65_535,
        );
        expect(decode(answer).answers).toHaveLength(1);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('an answer', () => {
  it('is authoritative, lives 30 seconds and repeats the question as it was written', () => {
    const bytes = writeAnswer(
      questionOf(query('Web.Shop')),
      { canonicalName: undefined, addresses: [ip('10.96.0.1'), ip('10.96.0.2')] },
      512,
    );
    expect(decode(bytes)).toMatchObject({
      id: 4711,
      rcode: 'NOERROR',
      flag_qr: true,
      flag_aa: true,
      flag_ra: true,
      flag_rd: true,
      flag_tc: false,
      questions: [{ name: 'Web.Shop', type: 'A' }],
      answers: [
        { name: 'Web.Shop', type: 'A', ttl: 30, data: '10.96.0.1' },
        { name: 'Web.Shop', type: 'A', ttl: 30, data: '10.96.0.2' },
      ],
      additionals: [],
    });
  });

  it('names the alias first where a search domain was taken off', () => {
    const question = questionOf(query('example.com.default.svc.cluster.local', 'AAAA', edns(1232)));
    const bytes = writeAnswer(
      question,
      { canonicalName: 'example.com', addresses: [ip('2001:db8::1')] },
      1232,
    );
    expect(decode(bytes)).toMatchObject({
      answers: [
        { name: 'example.com.default.svc.cluster.local', type: 'CNAME', data: 'example.com' },
        { name: 'example.com', type: 'AAAA', data: '2001:db8::1' },
      ],
      additionals: [{ type: 'OPT', udpPayloadSize: 1232 }],
    });
  });

  it('says that it is truncated when the client takes less', () => {
    const addresses = Array.from({ length: 100 }, (_, i) => ip(`10.0.0.${i}`));
    const question = questionOf(query('many.shop'));
    const bytes = writeAnswer(question, { canonicalName: undefined, addresses }, maxUdpBytes(question.edns));
    expect(bytes.length).toBeLessThanOrEqual(512);
    expect(decode(bytes)).toMatchObject({ flag_tc: true });
    expect(decode(bytes).answers?.length).toBeGreaterThan(20);
    expect(
      decode(writeAnswer(question, { canonicalName: undefined, addresses }, 65_535)).answers,
    ).toHaveLength(100);
  });

  it.each([
    [undefined, 512],
    [100, 512],
    [1232, 1232],
  ])('to a client with an EDNS payload of %s takes at most %i bytes', (payload, limit) => {
    const bytes = query('a.b', 'A', payload === undefined ? {} : edns(payload));
    expect(maxUdpBytes(questionOf(bytes).edns)).toBe(limit);
  });

  it('that is an error repeats id, opcode and question', () => {
    const request = query('a.b', 'A', edns(1232));
    expect(decode(writeError(request, 2, questionOf(request)))).toMatchObject({
      id: 4711,
      rcode: 'SERVFAIL',
      flag_qr: true,
      questions: [{ name: 'a.b' }],
      additionals: [{ type: 'OPT' }],
    });
    expect(decode(writeError(raw(0x2800, 1), 1))).toMatchObject({
      opcode: 'UPDATE',
      rcode: 'FORMERR',
      questions: [],
    });
  });
});

describe('an upstream response', () => {
  const soa = {
    mname: 'ns.test',
    rname: 'root.test',
    serial: 1,
    refresh: 1,
    retry: 1,
    expire: 1,
    minimum: 60,
  };

  it('holds for the least lifetime of its records', () => {
    const bytes = encode({
      type: 'response',
      questions: [{ name: 'a.test', type: 'A' }],
      answers: [
        { name: 'a.test', type: 'CNAME', ttl: 300, data: 'b.test' },
        { name: 'b.test', type: 'A', ttl: 20, data: '192.0.2.1' },
      ],
    });
    expect(readResponse(bytes)).toMatchObject({ code: 0, isTruncated: false, ttlSeconds: 20, answers: 2 });
  });

  it('that a name does not exist holds for the minimum of its SOA', () => {
    const bytes = encode({
      type: 'response',
      flags: 3,
      questions: [{ name: 'no.test', type: 'A' }],
      authorities: [{ name: 'test', type: 'SOA', ttl: 900, data: soa }],
    });
    expect(readResponse(bytes)).toMatchObject({ code: 3, ttlSeconds: 60 });
  });

  it('that is empty without an SOA holds for nothing', () => {
    const bytes = encode({ type: 'response', questions: [{ name: 'no.test', type: 'A' }] });
    expect(readResponse(bytes)).toMatchObject({ code: 0, ttlSeconds: undefined });
  });

  it.each<[string, Packet, boolean]>([
    ['the same question', { questions: [{ name: 'A.test', type: 'A' }] }, true],
    ['no question repeated', {}, true],
    ['another name', { questions: [{ name: 'b.test', type: 'A' }] }, false],
    ['another type', { questions: [{ name: 'a.test', type: 'AAAA' }] }, false],
    ['another id', { id: 1, questions: [{ name: 'a.test', type: 'A' }] }, false],
    ['a query', { type: 'query', questions: [{ name: 'a.test', type: 'A' }] }, false],
  ])('with %s: taken for the answer is %s', (_, packet, isAnswer) => {
    expect(isResponseTo(encode({ type: 'response', id: 4711, ...packet }), query('a.test'))).toBe(isAnswer);
  });
});
