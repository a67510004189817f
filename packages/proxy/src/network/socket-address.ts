import type { Socket } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { SocketAddress } from '../engine/types.ts';

/** `ip:port` or `[ip]:port` with a literal address; undefined for anything else. */
export function parseSocketAddress(text: string): SocketAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, v6, v4, digits] = match;
  const ip = v6 ?? v4 ?? '';
  const port = Number(digits);
  const valid = v6 === undefined ? ipaddr.IPv4.isValidFourPartDecimal(ip) : ipaddr.IPv6.isValid(ip);
  if (!valid || port > 65_535) return undefined;
  return { kind: 'ip', ip: canonicalIp(ip), port };
}

/** One spelling per address: IPv4 for mapped ones, RFC 5952 for IPv6. */
export function canonicalIp(ip: string): string {
  return ipaddr.isValid(ip) ? ipaddr.process(ip).toString() : ip;
}

export function remoteAddressOf(socket: Socket): SocketAddress {
  return { kind: 'ip', ip: canonicalIp(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 };
}

export function localAddressOf(socket: Socket): SocketAddress {
  return { kind: 'ip', ip: canonicalIp(socket.localAddress ?? ''), port: socket.localPort ?? 0 };
}
