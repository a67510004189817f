import type { Question } from './message-reader.ts';
import { DnsClass, DnsType, HEADER_BYTES, MIN_UDP_BYTES, type Edns } from './protocol.ts';
import { ipBytes, ipFamily, type IpAddress } from '../state/ip-address.ts';

/** How long clients may keep what is answered here. */
export const LOCAL_TTL_SECONDS = 30;

export interface LocalAnswer {
  /** The name that the addresses belong to, if it isn't the one that was asked for: an alias says so first. */
  readonly canonicalName: string | undefined;
  readonly addresses: readonly IpAddress[];
}

const RESPONSE = 0x8000;
const AUTHORITATIVE = 0x0400;
const TRUNCATED = 0x0200;
const RECURSION_DESIRED = 0x0100;
const RECURSION_AVAILABLE = 0x0080;
const CHECKING_DISABLED = 0x0010;
/** A compressed name: the question's. */
const QUESTION_POINTER = 0xc000 | HEADER_BYTES;
const RECORD_FIXED_BYTES = 12;

/** An authoritative answer of at most `maxBytes`; what doesn't fit is left out and the client told so. */
export function writeAnswer(question: Question, answer: LocalAnswer, maxBytes: number): Buffer {
  const { canonicalName, addresses } = answer;
  const records: Buffer[] = [];
  let owner = QUESTION_POINTER;
  if (canonicalName !== undefined) {
    records.push(record(owner, DnsType.CNAME, nameBytes(canonicalName)));
    owner = 0xc000 | (HEADER_BYTES + question.bytes.length + RECORD_FIXED_BYTES);
  }
  for (const ip of addresses)
    records.push(record(owner, ipFamily(ip) === 4 ? DnsType.A : DnsType.AAAA, ipBytes(ip)));
  const opt = question.edns === undefined ? [] : [optRecord(question.edns)];
  let size = HEADER_BYTES + question.bytes.length + (opt[0]?.length ?? 0);
  const fitting = records.filter((r) => (size += r.length) <= maxBytes);
  const flags =
    RESPONSE |
    AUTHORITATIVE |
    RECURSION_AVAILABLE |
    (question.recursionDesired ? RECURSION_DESIRED : 0) |
    (question.checkingDisabled ? CHECKING_DISABLED : 0) |
    (fitting.length < records.length ? TRUNCATED : 0);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(question.id, 0);
  header.writeUInt16BE(flags, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(fitting.length, 6);
  header.writeUInt16BE(opt.length, 10);
  return Buffer.concat([header, question.bytes, ...fitting, ...opt]);
}

/** What a client takes in one datagram. */
export function maxUdpBytes(edns: Edns | undefined): number {
  return Math.max(edns?.udpBytes ?? 0, MIN_UDP_BYTES);
}

/** An error to any request with a header, which is all that is repeated of it where the rest can't be read. */
export function writeError(request: Buffer, code: number, question?: Question): Buffer {
  const response = Buffer.alloc(HEADER_BYTES);
  request.copy(response, 0, 0, 2);
  const keep = 0x7800 | RECURSION_DESIRED | CHECKING_DISABLED; // with the opcode
  response.writeUInt16BE((request.readUInt16BE(2) & keep) | RESPONSE | RECURSION_AVAILABLE | code, 2);
  if (question === undefined) return response;
  response.writeUInt16BE(1, 4);
  response.writeUInt16BE(question.edns === undefined ? 0 : 1, 10);
  return Buffer.concat([
    response,
    question.bytes,
    ...(question.edns === undefined ? [] : [optRecord(question.edns)]),
  ]);
}

function record(owner: number, type: number, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(RECORD_FIXED_BYTES + data.length);
  bytes.writeUInt16BE(owner, 0);
  bytes.writeUInt16BE(type, 2);
  bytes.writeUInt16BE(DnsClass.internet, 4);
  bytes.writeUInt32BE(LOCAL_TTL_SECONDS, 6);
  bytes.writeUInt16BE(data.length, 10);
  bytes.set(data, RECORD_FIXED_BYTES);
  return bytes;
}

function optRecord({ udpBytes, dnssecOk }: Edns): Buffer {
  const bytes = Buffer.alloc(11);
  bytes.writeUInt16BE(DnsType.OPT, 1);
  bytes.writeUInt16BE(Math.max(udpBytes, MIN_UDP_BYTES), 3);
  bytes.writeUInt16BE(dnssecOk ? 0x8000 : 0, 7);
  return bytes;
}

/** Of a name that came in labels of legal length. */
function nameBytes(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from(`\0${label}`, 'latin1'));
  for (const label of labels) label[0] = label.length - 1;
  return Buffer.concat([...labels, Buffer.alloc(1)]);
}
