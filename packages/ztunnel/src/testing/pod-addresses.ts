import { ipBytes, parseIp } from '../state/ip-address.ts';

export function bytesOf(ip: string): Uint8Array {
  return ipBytes(parseIp(ip) ?? fail(ip));
}

/** The IPv6 address of a pod with this IPv4 address. */
export function ipv6Of(ip: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = ip.split('.').map(Number);
  const group = (high: number, low: number): string => ((high << 8) | low).toString(16);
  return `fd00::${group(a, b)}:${group(c, d)}`;
}

function fail(what: string): never {
  throw new Error(`no ${what}`);
}
