import { parseSocketAddress } from '../../network/socket-address.ts';
import type { Metadata, MetadataValue, SocketAddress, UpstreamContext } from '../../engine/types.ts';
import type { OriginalDstConfig } from '../config/cluster-config.ts';
import type { AddressOf } from './on-demand-hosts.ts';

export const ORIGINAL_DST_FILTER_STATE = 'envoy.network.transport_socket.original_dst_address';
/** Hosts that an ORIGINAL_DST cluster remembers. */
export const MAX_ORIGINAL_DST_HOSTS = 10_000;

/** Where the client was going, at another port where the cluster says so. */
export function originalDestination(config: OriginalDstConfig): AddressOf {
  const { portOverride } = config;
  return (context) => {
    const address = addressFor(config, context);
    if (address === undefined || address.kind !== 'ip' || portOverride === undefined) return address;
    return { ...address, port: portOverride };
  };
}

function addressFor(config: OriginalDstConfig, { info }: UpstreamContext): SocketAddress | undefined {
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
