import { isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** An address in canonical text: dotted IPv4, or RFC 5952 IPv6. Never a v4-mapped one. */
export type IpAddress = string & { readonly __brand: 'IpAddress' };

export interface SocketAddress {
  readonly ip: IpAddress;
  readonly port: number;
}

export const LOOPBACK_V4 = '127.0.0.1' as IpAddress; // canonical
export const LOOPBACK_V6 = '::1' as IpAddress; // canonical

const MAPPED_PREFIX = '::ffff:';

/** Canonical form of an address as sockets and peers write it, or undefined if it is none. */
export function parseIp(text: string): IpAddress | undefined {
  // Dual-stack sockets report IPv4 peers like this; the common case needs no parser.
  const plain =
    text.startsWith(MAPPED_PREFIX) && text.includes('.') ? text.slice(MAPPED_PREFIX.length) : text;
  if (isIPv4(plain)) return plain as IpAddress; // just checked, and it allows one spelling only
  if (!plain.includes(':') || plain.includes('%') || !ipaddr.IPv6.isValid(plain)) return undefined;
  const parsed = ipaddr.IPv6.parse(plain);
  return (
    parsed.isIPv4MappedAddress() ? parsed.toIPv4Address().toString() : parsed.toRFC5952String()
  ) as IpAddress; // canonical by ipaddr.js
}

/** The address in 4 or 16 bytes, or undefined for any other length. Keeps no reference to the bytes. */
export function ipFromBytes(bytes: Uint8Array): IpAddress | undefined {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as IpAddress; // canonical by construction
  if (bytes.length !== 16) return undefined;
  const parsed = new ipaddr.IPv6([...bytes]);
  return (
    parsed.isIPv4MappedAddress() ? parsed.toIPv4Address().toString() : parsed.toRFC5952String()
  ) as IpAddress; // as above
}

export function ipBytes(ip: IpAddress): Uint8Array {
  if (ipFamily(ip) === 4) return Uint8Array.from(ip.split('.'), Number);
  return Uint8Array.from(ipaddr.parse(ip).toByteArray());
}

export function ipFamily(ip: IpAddress): 4 | 6 {
  return ip.includes(':') ? 6 : 4;
}

export function isLoopback(ip: IpAddress): boolean {
  return ip.startsWith('127.') || ip === '::1';
}

export function formatSocketAddress({ ip, port }: SocketAddress): string {
  return ipFamily(ip) === 6 ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** As sockets tell it; undefined of one that is closed. */
export function socketAddress(
  address: string | undefined,
  port: number | undefined,
): SocketAddress | undefined {
  const ip = address === undefined ? undefined : parseIp(address);
  return ip === undefined || port === undefined ? undefined : { ip, port };
}

/** `10.0.0.1:80` or `[2001:db8::1]:80`; undefined for anything else, names included. */
export function parseSocketAddress(text: string): SocketAddress | undefined {
  const split = splitAuthority(text);
  if (split === undefined) return undefined;
  const ip = parseIp(split.host);
  // An IPv6 address must be in brackets, and nothing else may be.
  if (ip === undefined || split.host.includes(':') !== split.isBracketed) return undefined;
  return { ip, port: split.port };
}

/** `host:port` of a CONNECT authority. The host is a name or an address; the port is mandatory. */
export function splitAuthority(
  text: string,
): { host: string; port: number; isBracketed: boolean } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:/?#@\s]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, bracketed, bare, digits] = match;
  const port = Number(digits);
  const host = bracketed ?? bare ?? '';
  return port > 65_535 || port === 0 ? undefined : { host, port, isBracketed: bracketed !== undefined };
}

/** A prefix of addresses of one family. */
export class Cidr {
  readonly length: number;
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array, length: number) {
    this.bytes = Uint8Array.from(bytes);
    this.length = length;
  }

  contains(ip: IpAddress): boolean {
    return this.containsBytes(ipBytes(ip));
  }

  /** The same for an address that many prefixes are asked about. */
  containsBytes(address: Uint8Array): boolean {
    const { bytes, length } = this;
    if (address.length !== bytes.length) return false;
    for (let i = 0, left = length; left > 0; i++, left -= 8) {
      const differing = (address[i] ?? 0) ^ (bytes[i] ?? 0);
      if ((left >= 8 ? differing : differing >> (8 - left)) !== 0) return false;
    }
    return true;
  }

  /** Equal for two prefixes exactly when they hold the same addresses. */
  get key(): string {
    return prefixKey(this.bytes, this.length);
  }

  toString(): string {
    return `${ipFromBytes(this.bytes)}/${this.length}`;
  }
}

/** The first `length` bits as text; the family is part of it. */
export function prefixKey(bytes: Uint8Array, length: number): string {
  let key = `${bytes.length}/${length}/`;
  for (let i = 0, left = length; left > 0; i++, left -= 8) {
    const byte = bytes[i] ?? 0;
    key += String.fromCharCode(left >= 8 ? byte : byte & (0xff << (8 - left)));
  }
  return key;
}
