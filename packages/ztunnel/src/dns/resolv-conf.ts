import { readFileSync } from 'node:fs';
import { parseIp, type SocketAddress } from '../state/ip-address.ts';

const DNS_PORT = 53;
/** MAXNS of resolv.conf(5). */
const MAX_NAMESERVERS = 3;

/** The nameservers of a resolv.conf(5); its search list is the pods' business. */
export function parseNameservers(text: string): readonly SocketAddress[] {
  const found: SocketAddress[] = [];
  for (const line of text.split('\n')) {
    const [keyword, address = ''] = line.trim().split(/\s+/);
    const ip = keyword === 'nameserver' ? parseIp(address) : undefined;
    if (ip !== undefined) found.push({ ip, port: DNS_PORT });
  }
  return found.slice(0, MAX_NAMESERVERS);
}

/** Those of the process's own file; none if it can't be read. */
export function ownNameservers(): readonly SocketAddress[] {
  try {
    return parseNameservers(readFileSync('/etc/resolv.conf', 'utf8'));
  } catch {
    return []; // every forwarded query then says so, WEFT1350
  }
}
