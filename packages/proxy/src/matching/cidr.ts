import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { invalid } from './invalid.ts';

export interface CidrRange {
  readonly addressPrefix?: string | null;
  readonly prefixLen?: { readonly value?: number | null } | null;
}

/** The bytes of an address, an IPv4-mapped IPv6 one as IPv4; undefined for anything that is no address. */
export function addressBytes(text: string): readonly number[] | undefined {
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  // ipaddr.js also takes octal and short forms, which two readers could understand differently.
  if (isIP(bare) === 0) return undefined;
  return ipaddr.process(bare.replace(/%.*$/, '')).toByteArray();
}

/** Whether an address lies in the range. Families never match each other, except IPv4-mapped IPv6, which is IPv4. */
export function compileCidr(range: CidrRange): (address: string) => boolean {
  const prefix = parseCidr(range);
  return (address) => {
    const bytes = addressBytes(address);
    return bytes !== undefined && contains(prefix, bytes);
  };
}

export interface Prefix {
  readonly bytes: readonly number[];
  readonly length: number;
}

export function parseCidr(range: CidrRange): Prefix {
  const text = range.addressPrefix ?? '';
  const bytes = addressBytes(text) ?? invalid(`"${text}" is no IP address`, 'address_prefix');
  // Absent means 0 in the API: matches the whole family.
  let length = range.prefixLen?.value ?? 0;
  const mapped = bytes.length === 4 && isIP(text) === 6;
  if (mapped) length -= 96;
  if (length < 0 || length > bytes.length * 8) invalid('out of range', 'prefix_len');
  return { bytes, length };
}

export function contains(prefix: Prefix, address: readonly number[]): boolean {
  if (address.length !== prefix.bytes.length) return false;
  const whole = prefix.length >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== prefix.bytes[i]) return false;
  const rest = prefix.length & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return ((address[whole] ?? 0) & mask) === ((prefix.bytes[whole] ?? 0) & mask);
}
