import { isIPv4, isIPv6 } from 'node:net';

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;

const SUN_PATH_BYTES = 108;

/** `struct sockaddr_in` or `sockaddr_in6` of an address in text. Throws TypeError if it is none. */
export function encodeSocketAddress(address: string, port: number): Buffer {
  if (isIPv4(address)) {
    const raw = Buffer.alloc(16);
    raw.writeUInt16LE(AF_INET, 0);
    raw.writeUInt16BE(port, 2);
    ipv4Bytes(address).copy(raw, 4);
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
  if (family === AF_INET) return { address: raw.subarray(4, 8).join('.'), port };
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

function ipv4Bytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function ipv6Bytes(address: string): Buffer {
  const dotted = address.lastIndexOf('.') < 0 ? undefined : address.slice(address.lastIndexOf(':') + 1);
  const tail = dotted === undefined ? undefined : ipv4Bytes(dotted).toString('hex');
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
  if (isMapped) return bytes.subarray(12).join('.');
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
