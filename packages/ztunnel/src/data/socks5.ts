import type { Socket } from 'node:net';
import { ipFromBytes, parseIp, type IpAddress, type SocketAddress } from '../state/ip-address.ts';

/** Where a SOCKS client wants to go. */
export type SocksTarget =
  | { readonly kind: 'address'; readonly address: SocketAddress }
  | { readonly kind: 'hostname'; readonly hostname: string; readonly port: number };

export type Parsed<T> =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'parsed'; readonly value: T; readonly bytes: number }
  | { readonly kind: 'refused'; readonly reply: Buffer };

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const NO_ACCEPTABLE_METHOD = 0xff;
const CONNECT = 1;
const AddressType = { ipv4: 1, hostname: 3, ipv6: 4 } as const;
/** RFC 1928 §6, as far as they are used. */
export const SocksReply = {
  succeeded: 0,
  hostUnreachable: 4,
  commandNotSupported: 7,
} as const;
/** From the accepted connection to its complete request. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** RFC 1928 §3; method 0 is the only one. */
export function parseGreeting(bytes: Buffer): Parsed<undefined> {
  const [version, count] = bytes;
  if (version !== undefined && version !== VERSION)
    return { kind: 'refused', reply: encodeReply(SocksReply.commandNotSupported) };
  if (count === undefined || bytes.length < 2 + count) return { kind: 'incomplete' };
  const isOffered = bytes.subarray(2, 2 + count).includes(NO_AUTHENTICATION);
  if (!isOffered) return { kind: 'refused', reply: Buffer.of(VERSION, NO_ACCEPTABLE_METHOD) };
  return { kind: 'parsed', value: undefined, bytes: 2 + count };
}

/** RFC 1928 §4; CONNECT is the only command. */
export function parseSocksRequest(bytes: Buffer): Parsed<SocksTarget> {
  const malformed = { kind: 'refused', reply: encodeReply(SocksReply.commandNotSupported) } as const;
  const [version, command, , type, first] = bytes;
  if (first === undefined) return { kind: 'incomplete' };
  if (version !== VERSION || command !== CONNECT) return malformed;
  const isName = type === AddressType.hostname;
  const start = isName ? 5 : 4;
  const length = isName ? first : { [AddressType.ipv4]: 4, [AddressType.ipv6]: 16 }[Number(type)];
  if (length === undefined || length === 0) return malformed;
  const end = start + length + 2;
  if (bytes.length < end) return { kind: 'incomplete' };
  const port = bytes.readUInt16BE(end - 2);
  const raw = bytes.subarray(start, start + length);
  const ip = isName ? parseIp(raw.toString('latin1')) : ipFromBytes(raw);
  if (ip !== undefined)
    return { kind: 'parsed', value: { kind: 'address', address: { ip, port } }, bytes: end };
  const hostname = raw.toString('latin1');
  if (!/^[A-Za-z0-9._-]+$/.test(hostname)) return malformed;
  return { kind: 'parsed', value: { kind: 'hostname', hostname, port }, bytes: end };
}

/** RFC 1928 §6, with 0.0.0.0:0 as the address that the other side sees. */
export function encodeReply(code: number): Buffer {
  return Buffer.of(VERSION, code, 0, AddressType.ipv4, 0, 0, 0, 0, 0, 0);
}

/**
 * The SOCKS handshake on an accepted socket, paused before and after. Success is told before anything is connected;
 * what goes wrong later looks as it does on a captured connection. Undefined: refused, and the socket is ended.
 */
export async function acceptSocks(
  socket: Socket,
  resolve: (hostname: string) => Promise<IpAddress | undefined>,
): Promise<SocketAddress | undefined> {
  const reader = new HandshakeReader(socket);
  const timer = setTimeout(() => socket.destroy(), HANDSHAKE_TIMEOUT_MS);
  try {
    if ((await reader.read(parseGreeting)) === undefined) return undefined;
    socket.write(Buffer.of(VERSION, NO_AUTHENTICATION));
    const request = await reader.read(parseSocksRequest);
    if (request === undefined) return undefined;
    // Before anything else is awaited: a socket that is empty may end meanwhile, and takes nothing back then.
    reader.giveBack();
    const target = request.value;
    if (target.kind === 'address') {
      socket.write(encodeReply(SocksReply.succeeded));
      return target.address;
    }
    const ip = await resolve(target.hostname);
    if (ip === undefined) {
      socket.end(encodeReply(SocksReply.hostUnreachable));
      return undefined;
    }
    socket.write(encodeReply(SocksReply.succeeded));
    return { ip, port: target.port };
  } finally {
    clearTimeout(timer);
  }
}

/** Gathers bytes until a message is complete. */
class HandshakeReader {
  private readonly socket: Socket;
  private bytes: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
  }

  /** Undefined when the client is refused or gone. */
  async read<T>(parse: (bytes: Buffer) => Parsed<T>): Promise<{ readonly value: T } | undefined> {
    for (;;) {
      const parsed = parse(this.bytes);
      if (parsed.kind === 'parsed') {
        this.bytes = this.bytes.subarray(parsed.bytes);
        return parsed;
      }
      if (parsed.kind === 'refused') {
        this.socket.end(parsed.reply);
        return undefined;
      }
      const more = await this.more();
      if (more === undefined) return undefined;
      this.bytes = Buffer.concat([this.bytes, more]);
    }
  }

  giveBack(): void {
    if (this.bytes.length > 0) this.socket.unshift(this.bytes);
  }

  private more(): Promise<Buffer | undefined> {
    const { socket } = this;
    return new Promise((resolve) => {
      const settle = (chunk?: Buffer): void => {
        socket.off('data', settle);
        socket.off('end', onEnd);
        socket.off('close', onEnd);
        socket.pause();
        resolve(chunk);
      };
      const onEnd = (): void => {
        socket.destroy();
        settle();
      };
      if (socket.destroyed) return onEnd();
      socket.on('data', settle);
      socket.once('end', onEnd);
      socket.once('close', onEnd);
      socket.resume();
    });
  }
}
