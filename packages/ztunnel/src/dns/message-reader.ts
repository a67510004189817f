import { DnsClass, DnsType, HEADER_BYTES, Opcode, type Edns } from './protocol.ts';

/** A question that may be answered here, if its name is known. */
export interface Question {
  readonly id: number;
  readonly recursionDesired: boolean;
  readonly checkingDisabled: boolean;
  /** Lower case, without the trailing dot; empty for the root. */
  readonly name: string;
  readonly type: number;
  /** The question as it came, to be repeated in the answer. */
  readonly bytes: Buffer;
  readonly edns: Edns | undefined;
}

export type Request =
  | { readonly kind: 'question'; readonly question: Question }
  /** Something else than one question about a plain name: for the upstream's eyes. */
  | { readonly kind: 'opaque'; readonly type: number | undefined }
  | { readonly kind: 'malformed' }
  /** Too short to be answered. */
  | { readonly kind: 'runt' };

class Malformed extends Error {}

/** Reads what is needed to decide about a client's message. Never throws. */
export function readRequest(bytes: Buffer): Request {
  if (bytes.length < HEADER_BYTES) return { kind: 'runt' };
  const flags = bytes.readUInt16BE(2);
  if ((flags & 0x8000) !== 0) return { kind: 'malformed' }; // a response
  if (((flags >> 11) & 0xf) !== Opcode.query || bytes.readUInt16BE(4) !== 1)
    return { kind: 'opaque', type: undefined };
  try {
    const cursor = new Cursor(bytes, HEADER_BYTES);
    const name = cursor.questionName();
    const type = cursor.uint16();
    const questionClass = cursor.uint16();
    const end = cursor.offset;
    const edns = readEdns(bytes, cursor);
    if (name === undefined || questionClass !== DnsClass.internet || edns?.version !== (edns && 0))
      return { kind: 'opaque', type };
    return {
      kind: 'question',
      question: {
        id: bytes.readUInt16BE(0),
        recursionDesired: (flags & 0x0100) !== 0,
        checkingDisabled: (flags & 0x0010) !== 0,
        name,
        type,
        bytes: bytes.subarray(HEADER_BYTES, end),
        edns,
      },
    };
  } catch (error) {
    if (error instanceof Malformed) return { kind: 'malformed' };
    throw error;
  }
}

/** RFC 6891 §6.1: at most one OPT record, anywhere in the additional section. */
function readEdns(bytes: Buffer, cursor: Cursor): Edns | undefined {
  let edns: Edns | undefined;
  for (let left = recordCount(bytes); left > 0; left--) {
    const { type, recordClass, ttl } = cursor.record();
    if (type !== DnsType.OPT) continue;
    if (edns !== undefined) throw new Malformed();
    edns = {
      udpBytes: recordClass,
      version: (ttl >>> 16) & 0xff,
      dnssecOk: (ttl & 0x8000) !== 0,
    };
  }
  return edns;
}

/** What a cache has to know of an upstream's response. */
export interface ResponseSummary {
  readonly code: number;
  readonly isTruncated: boolean;
  /** Where the records' lifetimes are written. */
  readonly ttlOffsets: readonly number[];
  /** For how long the response holds; undefined if it doesn't say. */
  readonly ttlSeconds: number | undefined;
  readonly answers: number;
}

/** Undefined for what can't be read to its end. */
export function readResponse(bytes: Buffer): ResponseSummary | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  try {
    const flags = bytes.readUInt16BE(2);
    const cursor = new Cursor(bytes, HEADER_BYTES);
    for (let left = bytes.readUInt16BE(4); left > 0; left--) {
      cursor.skipName();
      cursor.skip(4);
    }
    const answers = bytes.readUInt16BE(6);
    const ttlOffsets: number[] = [];
    let least = Number.POSITIVE_INFINITY;
    let negative: number | undefined;
    for (let left = recordCount(bytes); left > 0; left--) {
      const { type, ttl, ttlOffset, data } = cursor.record();
      if (type === DnsType.OPT) continue;
      ttlOffsets.push(ttlOffset);
      least = Math.min(least, ttl);
      // RFC 2308 §5: how long a name or record may be taken not to exist. Its last field is the minimum.
      if (type === DnsType.SOA && data.length >= 22)
        negative = Math.min(ttl, data.readUInt32BE(data.length - 4));
    }
    const code = flags & 0xf;
    const isPositive = code === 0 && answers > 0;
    const ttlSeconds = isPositive ? least : negative === undefined ? undefined : Math.min(least, negative);
    return { code, isTruncated: (flags & 0x0200) !== 0, ttlOffsets, ttlSeconds, answers };
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

/** Whether a response answers a request: its id, that it is a response, the opcode and, if repeated, the question. */
export function isResponseTo(response: Buffer, request: Buffer): boolean {
  if (response.length < HEADER_BYTES || response.readUInt16BE(0) !== request.readUInt16BE(0)) return false;
  const sent = request.readUInt16BE(2);
  const flags = response.readUInt16BE(2);
  if ((flags & 0x8000) === 0 || (flags & 0x7800) !== (sent & 0x7800)) return false;
  if (response.readUInt16BE(4) === 0 || request.readUInt16BE(4) !== 1) return true;
  try {
    const [asked, repeated] = [request, response].map((bytes) => {
      const cursor = new Cursor(bytes, HEADER_BYTES);
      cursor.skipName();
      cursor.skip(4);
      return bytes.toString('latin1', HEADER_BYTES, cursor.offset).toLowerCase();
    });
    return asked === repeated;
  } catch (error) {
    if (error instanceof Malformed) return true; // an upstream may understand what this reader doesn't
    throw error;
  }
}

/** Answers, authorities and additional records. */
function recordCount(bytes: Buffer): number {
  return bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
}

const MAX_NAME_BYTES = 255;
const plainLabel = /^[!-~]+$/;

/** Every step either moves forward or throws Malformed, so that reading takes time linear in the message. */
class Cursor {
  offset: number;
  private readonly bytes: Buffer;

  constructor(bytes: Buffer, offset: number) {
    this.bytes = bytes;
    this.offset = offset;
  }

  /** Undefined for labels that can't be written between dots. Nothing is before the question to point to. */
  questionName(): string | undefined {
    const start = this.offset;
    const labels: string[] = [];
    for (;;) {
      const length = this.uint8();
      if (length === 0) break;
      if (length > 63) throw new Malformed();
      const label = this.take(length).toString('latin1');
      if (this.offset - start >= MAX_NAME_BYTES) throw new Malformed();
      labels.push(label);
    }
    const isPlain = labels.every((label) => plainLabel.test(label) && !label.includes('.'));
    return isPlain ? labels.join('.').toLowerCase() : undefined;
  }

  /** Pointers aren't followed, so they can't make a loop. */
  skipName(): void {
    const start = this.offset;
    for (;;) {
      const length = this.uint8();
      if (length === 0) return;
      if (length >= 0xc0) return this.skip(1);
      if (length > 63) throw new Malformed();
      this.skip(length);
      if (this.offset - start >= MAX_NAME_BYTES) throw new Malformed();
    }
  }

  record(): { type: number; recordClass: number; ttl: number; ttlOffset: number; data: Buffer } {
    this.skipName();
    const type = this.uint16();
    const recordClass = this.uint16();
    const ttlOffset = this.offset;
    const ttl = this.take(4).readUInt32BE(0);
    return { type, recordClass, ttl, ttlOffset, data: this.take(this.uint16()) };
  }

  uint16(): number {
    return this.take(2).readUInt16BE(0);
  }

  skip(count: number): void {
    this.offset += count;
    if (this.offset > this.bytes.length) throw new Malformed();
  }

  private uint8(): number {
    const value = this.bytes[this.offset];
    if (value === undefined) throw new Malformed();
    this.offset++;
    return value;
  }

  private take(count: number): Buffer {
    const start = this.offset;
    this.skip(count);
    return this.bytes.subarray(start, this.offset);
  }
}
