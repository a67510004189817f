import { isIP } from 'node:net';

/** The target of a CONNECT: `ip:port`, `[ipv6]:port` or `hostname:port`. */
export interface Authority {
  readonly kind: 'address' | 'hostname';
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

const FORM = /^(?:\[([0-9a-fA-F:.]+)\]|([^[\]:/?#@\s]+)):(\d{1,5})$/;

/** Undefined for anything that isn't a host with a port from 1 to 65535. */
export function parseAuthority(text: string): Authority | undefined {
  const [, bracketed, plain, digits] = FORM.exec(text) ?? [];
  const port = Number(digits);
  if (!(port >= 1 && port <= 65_535)) return undefined;
  if (bracketed !== undefined)
    return isIP(bracketed) === 6 ? { kind: 'address', host: bracketed, port } : undefined;
  if (plain === undefined) return undefined;
  return { kind: isIP(plain) === 4 ? 'address' : 'hostname', host: plain, port };
}

export function formatAuthority(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}
