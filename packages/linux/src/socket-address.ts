import { isIPv4, isIPv6 } from 'node:net';

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;

const SUN_PATH_BYTES = 108;
const DOT = 0x2e;
const ZERO = 0x30;

/** `struct sockaddr_in` or `sockaddr_in6` of an address in text. Throws TypeError if it is none. */
export function encodeSocketAddress(address: string, port: number): Buffer {
  if (isIPv4(address)) {
    const raw = Buffer.alloc(16);
    raw.writeUInt16LE(AF_INET, 0);
    raw.writeUInt16BE(port, 2);
    writeIpv4(address, raw, 4);
    return raw;
  }
  if (isIPv6(address) && !address.includes('%')) {
    const raw = Buffer.alloc(28);
    raw.writeUInt16LE(AF_INET6, 0);
    raw.writeUInt16BE(port, 2);
    ipv6Bytes(address).copy(raw, 8);
    return raw;
  }
  throw new TypeError(`not an IP address: ${address}`);
}

/** The reverse; v4-mapped addresses become plain v4. Undefined for other families. */
export function decodeSocketAddress(raw: Buffer): { address: string; port: number } | undefined {
  const family = raw.readUInt16LE(0);
  const port = raw.readUInt16BE(2);
  if (family === AF_INET) return { address: formatIpv4(raw, 4), port };
  if (family === AF_INET6) return { address: formatIpv6(raw.subarray(8, 24)), port };
  return undefined;
}

export function encodeUnixAddress(path: string): Buffer {
  const name = Buffer.from(path);
  if (name.length === 0 || name.length >= SUN_PATH_BYTES) {
    throw new TypeError(`socket path must have 1 to ${SUN_PATH_BYTES - 1} bytes: ${path}`);
  }
  const raw = Buffer.alloc(2 + name.length + 1);
  raw.writeUInt16LE(AF_UNIX, 0);
  name.copy(raw, 2);
  return raw;
}

/** Each connection has some: digits are added up, without a list of them. */
function writeIpv4(address: string, raw: Buffer, offset: number): void {
  let at = offset;
  let byte = 0;
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i);
    if (code !== DOT) {
      byte = byte * 10 + code - ZERO;
      continue;
    }
    raw[at++] = byte;
    byte = 0;
  }
  raw[at] = byte;
}

function formatIpv4(raw: Buffer, at: number): string {
  return `${raw[at]}.${raw[at + 1]}.${raw[at + 2]}.${raw[at + 3]}`;
}

function ipv4Hex(address: string): string {
  const raw = Buffer.alloc(4);
  writeIpv4(address, raw, 0);
  return raw.toString('hex');
}

function ipv6Bytes(address: string): Buffer {
  const dotted = address.lastIndexOf('.') < 0 ? undefined : address.slice(address.lastIndexOf(':') + 1);
  const tail = dotted === undefined ? undefined : ipv4Hex(dotted);
  const text =
    dotted === undefined || tail === undefined
      ? address
      : `${address.slice(0, -dotted.length)}${tail.slice(0, 4)}:${tail.slice(4)}`;
  const [head = '', rest] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const front = groups(head);
  const back = rest === undefined ? [] : groups(rest);
  const zeros = Array<string>(8 - front.length - back.length).fill('0');
  return Buffer.from([...front, ...zeros, ...back].map((g) => g.padStart(4, '0')).join(''), 'hex');
}

function formatIpv6(bytes: Buffer): string {
  const isMapped =
    bytes.readUIntBE(0, 6) === 0 && bytes.readUInt32BE(6) === 0 && bytes.readUInt16BE(10) === 0xffff;
  if (isMapped) return formatIpv4(bytes, 12);
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  // RFC 5952: the longest run of two or more zero groups, the first of equals, becomes "::".
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && groups[j] === '0') j++;
    if (j - i > length) [start, length] = [i, j - i];
  }
  if (start < 0) return groups.join(':');
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + length).join(':')}`;
}
