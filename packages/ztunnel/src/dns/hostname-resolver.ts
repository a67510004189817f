import { Resolver } from 'node:dns/promises';
import { describeError, systemErrorCode, WeftError, type Clock } from '@weft/telemetry';
import { parseIp, type IpAddress } from '../state/ip-address.ts';

/** The addresses of a name in one family, none if there are none; rejects if that can't be known. */
export type Lookup = (hostname: string, family: 4 | 6) => Promise<readonly AddressRecord[]>;

export interface AddressRecord {
  readonly address: string;
  readonly ttl: number;
}

export const MAX_RESOLVED_HOSTNAMES = 4_096;
/** Names that are being resolved at the same time. */
export const MAX_RESOLVING_HOSTNAMES = 256;
/** However short a record says it lives, and for how long a failure is remembered. */
export const MIN_HOSTNAME_TTL_MS = 1_000;
export const MAX_HOSTNAME_TTL_MS = 300_000;

interface Entry {
  readonly addresses: readonly IpAddress[];
  readonly expiresAt: number;
}

/** Addresses of endpoints that the control plane knows by name only, as the proxy's own pod resolves them. */
export class HostnameResolver {
  private readonly lookup: Lookup;
  private readonly families: readonly (4 | 6)[];
  private readonly clock: Clock;
  /** Longest unused first. */
  private readonly entries = new Map<string, Entry>();
  private readonly pending = new Map<string, Promise<readonly IpAddress[]>>();

  constructor({ lookup, ipv6, clock }: { lookup: Lookup; ipv6: boolean; clock: Clock }) {
    this.lookup = lookup;
    this.families = ipv6 ? [4, 6] : [4];
    this.clock = clock;
  }

  /** At least one address, of either family. @throws WEFT1319 */
  async resolve(hostname: string): Promise<readonly IpAddress[]> {
    const literal = parseIp(hostname);
    if (literal !== undefined) return [literal];
    const addresses = this.cached(hostname) ?? (await this.resolveOnce(hostname));
    if (addresses.length === 0) throw new WeftError('WEFT1319', `${hostname} has no address`);
    return addresses;
  }

  private cached(hostname: string): readonly IpAddress[] | undefined {
    const entry = this.entries.get(hostname);
    if (entry === undefined) return undefined;
    this.entries.delete(hostname);
    if (entry.expiresAt <= this.clock.now()) return undefined;
    this.entries.set(hostname, entry);
    return entry.addresses;
  }

  /** Connections that need a name at the same time share one resolution. */
  private resolveOnce(hostname: string): Promise<readonly IpAddress[]> {
    const running = this.pending.get(hostname);
    if (running !== undefined) return running;
    if (this.pending.size >= MAX_RESOLVING_HOSTNAMES)
      throw new WeftError('WEFT1319', `${hostname}: ${this.pending.size} other names are being resolved`);
    const started = this.lookUp(hostname).finally(() => this.pending.delete(hostname));
    this.pending.set(hostname, started);
    return started;
  }

  private async lookUp(hostname: string): Promise<readonly IpAddress[]> {
    const results = await Promise.allSettled(this.families.map((family) => this.lookup(hostname, family)));
    const records = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
    const failed = results.find((result) => result.status === 'rejected');
    if (records.length === 0 && failed !== undefined)
      throw new WeftError('WEFT1319', `${hostname}: ${describeError(failed.reason)}`, {
        cause: failed.reason,
      });
    const ttlMs = Math.min(MAX_HOSTNAME_TTL_MS, ...records.map(({ ttl }) => ttl * 1000));
    this.store(hostname, {
      addresses: records.flatMap(({ address }) => parseIp(address) ?? []),
      expiresAt:
        this.clock.now() +
        (records.length === 0 ? MIN_HOSTNAME_TTL_MS : Math.max(MIN_HOSTNAME_TTL_MS, ttlMs)),
    });
    return this.entries.get(hostname)?.addresses ?? [];
  }

  private store(hostname: string, entry: Entry): void {
    this.entries.set(hostname, entry);
    if (this.entries.size <= MAX_RESOLVED_HOSTNAMES) return;
    for (const oldest of this.entries.keys()) {
      this.entries.delete(oldest);
      return;
    }
  }
}

const ATTEMPT_TIMEOUT_MS = 2_000;
const ATTEMPTS = 2;
/** c-ares' words for: there is no such name, or it has no such record. */
const nothingFound: ReadonlySet<string | undefined> = new Set(['ENOTFOUND', 'ENODATA']);

/** Asks the nameservers of the process's resolv.conf. */
export function nameserverLookup(): Lookup {
  const resolver = new Resolver({ timeout: ATTEMPT_TIMEOUT_MS, tries: ATTEMPTS });
  return async (hostname, family) => {
    try {
      return await (family === 4
        ? resolver.resolve4(hostname, { ttl: true })
        : resolver.resolve6(hostname, { ttl: true }));
    } catch (error) {
      if (nothingFound.has(systemErrorCode(error))) return [];
      throw error;
    }
  };
}
