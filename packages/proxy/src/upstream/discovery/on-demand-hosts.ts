import type { Clock } from '@weft/telemetry';
import { formatAddress, type SocketAddress, type UpstreamContext } from '../../engine/types.ts';
import { endpointAt, Host } from '../host.ts';

/** Where a connection or request goes; undefined where it doesn't say. */
export type AddressOf = (context: UpstreamContext) => SocketAddress | undefined;

export interface OnDemandHostsOptions {
  readonly addressOf: AddressOf;
  /** Hosts that the cluster remembers; a new one beyond it drives out the one unused for longest. */
  readonly maxHosts: number;
  readonly cleanupIntervalMs: number;
  readonly clock: Clock;
  /** It has connections still. */
  readonly isBusy: (host: Host) => boolean;
  readonly onRemoved: (host: Host) => void;
}

/**
 * The hosts of a cluster that nobody told any: each connection or request names its own. They are remembered while they
 * are used, for their pools, and dropped when nobody asked for them between two sweeps.
 */
export class OnDemandHosts {
  /** Unused for longest first. */
  readonly hosts = new Map<string, Host>();
  private readonly o: OnDemandHostsOptions;
  private readonly used = new Set<Host>();
  private cancelSweep: (() => void) | undefined;

  constructor(o: OnDemandHostsOptions) {
    this.o = o;
  }

  pick(context: UpstreamContext): Host | undefined {
    const address = this.o.addressOf(context);
    if (address === undefined || address.kind !== 'ip') return undefined;
    const key = formatAddress(address);
    let host = this.hosts.get(key);
    if (host === undefined) {
      this.makeRoom();
      host = hostAt(address);
      this.cancelSweep ??= this.o.clock.schedule(this.o.cleanupIntervalMs, this.sweep);
    }
    this.hosts.delete(key);
    this.hosts.set(key, host);
    this.used.add(host);
    return host;
  }

  close(): void {
    this.cancelSweep?.();
    this.cancelSweep = undefined;
  }

  private readonly sweep = (): void => {
    for (const host of this.hosts.values()) {
      if (!this.used.has(host) && !this.o.isBusy(host)) this.remove(host);
    }
    this.used.clear();
    this.cancelSweep =
      this.hosts.size === 0 ? undefined : this.o.clock.schedule(this.o.cleanupIntervalMs, this.sweep);
  };

  private makeRoom(): void {
    if (this.hosts.size < this.o.maxHosts) return;
    for (const host of this.hosts.values()) {
      if (this.o.isBusy(host)) continue;
      this.remove(host);
      return;
    }
  }

  private remove(host: Host): void {
    this.hosts.delete(host.key);
    this.used.delete(host);
    this.o.onRemoved(host);
  }
}

function hostAt(address: SocketAddress): Host {
  return new Host(endpointAt(address), { hashByHostname: false });
}
