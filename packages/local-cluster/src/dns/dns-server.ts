import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import {
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
  type Answer,
  type Packet,
} from 'dns-packet';
import { describeError, type Logger } from '@weft/telemetry';

export type RecordType = 'A' | 'AAAA' | 'CNAME' | 'PTR' | 'SRV';
export type DnsRecord =
  | {
      readonly name: string;
      readonly type: 'A' | 'AAAA' | 'CNAME' | 'PTR';
      readonly ttl: number;
      readonly data: string;
    }
  | {
      readonly name: string;
      readonly type: 'SRV';
      readonly ttl: number;
      readonly data: {
        readonly priority: number;
        readonly weight: number;
        readonly port: number;
        readonly target: string;
      };
    };

/**
 * All records of a lower-case name without trailing dot: none when the name exists without any, undefined when it
 * doesn't exist. `type` is what was asked for; records of other types may be among the answers.
 */
export type RecordSource = (name: string, type: RecordType) => readonly DnsRecord[] | undefined;

export const MAX_UDP_BYTES = 512;
/** What a client may ask for by EDNS0. */
export const MAX_EDNS_BYTES = 4_096;
export const MAX_TCP_CONNECTIONS = 256;
export const TCP_IDLE_MS = 10_000;

// RFC 1035 §4.1.1
const RCODE_FORMAT_ERROR = 1;
const RCODE_NAME_ERROR = 3;
const RCODE_NOT_IMPLEMENTED = 4;

/** Authoritative answers for one domain over UDP and TCP. Names outside it don't exist: there is no upstream. */
export class DnsServer {
  private readonly options: {
    readonly address: string;
    readonly port: number;
    readonly domain: string;
    readonly records: RecordSource;
    readonly logger: Logger;
  };
  private readonly udp: UdpSocket;
  private readonly tcp: Server;
  private readonly connections = new Set<Socket>();

  constructor(options: DnsServer['options']) {
    this.options = options;
    this.udp = createSocket('udp4', (message, peer) => {
      const reply = answer(message, options.records, options.domain, 'udp');
      if (reply !== undefined) this.udp.send(reply, peer.port, peer.address);
    });
    this.tcp = createServer((socket) => this.serve(socket));
    this.tcp.maxConnections = MAX_TCP_CONNECTIONS;
  }

  async listen(): Promise<void> {
    const { address, port, logger } = this.options;
    await Promise.all([
      new Promise<void>((resolve, reject) => {
        this.udp.once('error', reject);
        this.udp.bind(port, address, resolve);
      }),
      new Promise<void>((resolve, reject) => {
        this.tcp.once('error', reject);
        this.tcp.listen(port, address, resolve);
      }),
    ]);
    this.udp.on('error', (error) => logger.warn('UDP', { error: describeError(error) }));
    this.tcp.on('error', (error) => logger.warn('TCP', { error: describeError(error) }));
  }

  async close(): Promise<void> {
    for (const socket of this.connections) socket.destroy();
    await Promise.all([
      new Promise<void>((resolve) => this.udp.close(resolve)),
      new Promise<void>((resolve) => {
        this.tcp.close(() => resolve());
      }),
    ]);
  }

  /** Messages with a two-byte length before each, RFC 1035 §4.2.2. */
  private serve(socket: Socket): void {
    this.connections.add(socket);
    socket.once('close', () => this.connections.delete(socket));
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    let buffered: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
        const end = 2 + buffered.readUInt16BE(0);
        const reply = answer(buffered.subarray(2, end), this.options.records, this.options.domain, 'tcp');
        buffered = buffered.subarray(end);
        if (reply === undefined) return void socket.destroy();
        const length = Buffer.alloc(2);
        length.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([length, reply]));
      }
    });
  }
}

/** The reply to one message, or undefined for what isn't a query at all. */
export function answer(
  message: Buffer,
  records: RecordSource,
  domain: string,
  transport: 'udp' | 'tcp',
): Buffer | undefined {
  let query: Packet;
  try {
    query = decode(message);
  } catch {
    return message.length >= 12 && (message.readUInt8(2) & 0x80) === 0
      ? encode({ type: 'response', id: message.readUInt16BE(0), flags: RCODE_FORMAT_ERROR })
      : undefined;
  }
  if (query.type !== 'query') return undefined;
  const base = { type: 'response' as const, id: query.id ?? 0, questions: query.questions ?? [] };
  const desired = (query.flags ?? 0) & RECURSION_DESIRED;
  const [question, ...more] = query.questions ?? [];
  if (question === undefined || more.length > 0) {
    return encode({
      ...base,
      flags: desired | (question === undefined ? RCODE_FORMAT_ERROR : RCODE_NOT_IMPLEMENTED),
    });
  }
  const name = question.name.toLowerCase().replace(/\.$/, '');
  const found = records(name, question.type as RecordType); // other types simply match no record
  const answers = (found ?? []).filter(({ type }) => type === question.type || type === 'CNAME');
  const edns = query.additionals?.find((record) => record.type === 'OPT');
  const flags = AUTHORITATIVE_ANSWER | desired | (found === undefined ? RCODE_NAME_ERROR : 0);
  const reply: Packet = {
    ...base,
    flags,
    // dns-packet names are as the client wrote them: resolvers that randomise case compare.
    answers: answers.map((record) => ({ ...record, name: question.name }) as Answer), // same shape, wider union
    ...(answers.length === 0 ? { authorities: [startOfAuthority(domain)] } : {}),
    ...(edns === undefined ? {} : { additionals: [optRecord] }),
  };
  const bytes = encode(reply);
  if (transport === 'tcp' || bytes.length <= udpLimit(edns)) return bytes;
  return encode({ ...base, flags: flags | TRUNCATED_RESPONSE });
}

const optRecord: Answer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: MAX_EDNS_BYTES,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

function udpLimit(edns: Answer | undefined): number {
  const size = edns?.type === 'OPT' ? edns.udpPayloadSize : MAX_UDP_BYTES;
  return Math.min(Math.max(size, MAX_UDP_BYTES), MAX_EDNS_BYTES);
}

/** Lets resolvers keep a negative answer for the minimum: RFC 2308. */
function startOfAuthority(domain: string): Answer {
  return {
    type: 'SOA',
    name: domain,
    ttl: 5,
    data: {
      mname: `ns.dns.${domain}`,
      rname: `hostmaster.${domain}`,
      serial: 1,
      refresh: 7200,
      retry: 1800,
      expire: 86400,
      minimum: 5,
    },
  };
}
