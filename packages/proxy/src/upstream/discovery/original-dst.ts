import type { Clock } from '@weft/telemetry';
import type { MetadataValue, Metadata, SocketAddress, UpstreamContext } from '../../engine/types.ts';
import { formatAddress } from '../../engine/types.ts';
import { parseSocketAddress } from '../../network/socket-address.ts';
import type { OriginalDstConfig } from '../config/cluster-config.ts';
import { Host } from '../host.ts';

export const ORIGINAL_DST_FILTER_STATE = 'envoy.network.transport_socket.original_dst_address';
/** Hosts that a cluster remembers; a new one beyond it drives out the one unused for longest. */
export const MAX_ORIGINAL_DST_HOSTS = 10_000;

/**
 * The hosts of an ORIGINAL_DST cluster: each connection names its own. They are remembered while they are used, for
 * their pools, and dropped when nobody asked for them between two sweeps.
 */
export class OriginalDstHosts {
  readonly hosts = new Map<string, Host>();
  private readonly config: OriginalDstConfig;
  private readonly used = new Set<Host>();
  private readonly onRemoved: (host: Host) => void;
  private readonly isBusy: (host: Host) => boolean;
  private readonly clock: Clock;
  private cancelSweep: (() => void) | undefined;

  constructor(o: {
    readonly config: OriginalDstConfig;
    readonly clock: Clock;
    /** It has connections still. */
    readonly isBusy: (host: Host) => boolean;
    readonly onRemoved: (host: Host) => void;
  }) {
    this.config = o.config;
    this.clock = o.clock;
    this.isBusy = o.isBusy;
    this.onRemoved = o.onRemoved;
  }

  pick(context: UpstreamContext): Host | undefined {
    const address = this.addressFor(context);
    if (address === undefined || address.kind !== 'ip') return undefined;
    const { portOverride } = this.config;
    const target = portOverride === undefined ? address : { ...address, port: portOverride };
    const key = formatAddress(target);
    let host = this.hosts.get(key);
    if (host === undefined) {
      this.makeRoom();
      host = hostAt(target);
      this.hosts.set(key, host);
      this.cancelSweep ??= this.clock.schedule(this.config.cleanupIntervalMs, this.sweep);
    }
    this.used.add(host);
    return host;
  }

  close(): void {
    this.cancelSweep?.();
    this.cancelSweep = undefined;
  }

  private addressFor({ info }: UpstreamContext): SocketAddress | undefined {
    const { config } = this;
    const override = info.filterState.text(ORIGINAL_DST_FILTER_STATE);
    if (override !== undefined) return parseSocketAddress(override);
    if (config.metadataKey !== undefined) {
      const { namespace, path } = config.metadataKey;
      for (const metadata of [info.dynamicMetadata, info.connection.dynamicMetadata]) {
        const value = metadataAt(metadata, namespace, path);
        const address = typeof value === 'string' ? parseSocketAddress(value) : undefined;
        if (address !== undefined) return address;
      }
    }
    if (config.header !== undefined) {
      const value = info.requestHeaders?.get(config.header);
      const address = value === undefined ? undefined : parseSocketAddress(value);
      if (address !== undefined) return address;
    }
    // An unrestored address is the proxy's own: connecting there would be a loop.
    return info.connection.localAddressRestored ? info.connection.localAddress : undefined;
  }

  private readonly sweep = (): void => {
    for (const host of this.hosts.values()) {
      if (!this.used.has(host) && !this.isBusy(host)) this.remove(host);
    }
    this.used.clear();
    this.cancelSweep =
      this.hosts.size === 0 ? undefined : this.clock.schedule(this.config.cleanupIntervalMs, this.sweep);
  };

  private makeRoom(): void {
    if (this.hosts.size < MAX_ORIGINAL_DST_HOSTS) return;
    for (const host of this.hosts.values()) {
      if (this.isBusy(host)) continue;
      this.remove(host);
      return;
    }
  }

  private remove(host: Host): void {
    this.hosts.delete(host.key);
    this.used.delete(host);
    this.onRemoved(host);
  }
}

function hostAt(address: SocketAddress): Host {
  return new Host(
    {
      address,
      additionalAddresses: [],
      hostname: '',
      metadata: new Map(),
      locality: { region: '', zone: '', subZone: '' },
      localityWeight: undefined,
      priority: 0,
      weight: 1,
      health: 'healthy',
    },
    { hashByHostname: false },
  );
}

function metadataAt(
  metadata: Metadata,
  namespace: string,
  path: readonly string[],
): MetadataValue | undefined {
  let value: MetadataValue | undefined = metadata.get(namespace);
  for (const key of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    // Arrays are excluded above, which the type guard of Array.isArray doesn't see for readonly ones.
    value = (value as Readonly<Record<string, MetadataValue>>)[key];
  }
  return value;
}
