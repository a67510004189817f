import { readFileSync } from 'node:fs';
import { parseIp, type SocketAddress } from '../state/ip-address.ts';

const DNS_PORT = 53;
/** MAXNS of resolv.conf(5). */
const MAX_NAMESERVERS = 3;
const MAX_SEARCH_DOMAINS = 32;

export interface ResolverConfig {
  readonly nameservers: readonly SocketAddress[];
  readonly search: readonly string[];
}

/** What resolv.conf(5) says; of several search lists the last counts. */
export function parseResolvConf(text: string): ResolverConfig {
  const nameservers: SocketAddress[] = [];
  let search: readonly string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    const ip = keyword === 'nameserver' ? parseIp(values[0] ?? '') : undefined;
    if (ip !== undefined) nameservers.push({ ip, port: DNS_PORT });
    if (keyword === 'search' || keyword === 'domain')
      search = values.map((domain) => domain.replace(/\.$/, '').toLowerCase());
  }
  return {
    nameservers: nameservers.slice(0, MAX_NAMESERVERS),
    search: search.slice(0, MAX_SEARCH_DOMAINS),
  };
}

/** The process's own. An unreadable file names no nameserver, as every query that is forwarded then says: WEFT1350. */
export function ownResolverConfig(): ResolverConfig {
  try {
    return parseResolvConf(readFileSync('/etc/resolv.conf', 'utf8'));
  } catch {
    return { nameservers: [], search: [] };
  }
}
