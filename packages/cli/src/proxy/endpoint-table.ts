import type { envoy } from '@weft/api/envoy';
import { table } from '../output.ts';

type HostStatus = envoy.admin.v3.HostStatus.$Properties;

export interface EndpointFilter {
  readonly address?: string;
  readonly port?: number;
  readonly cluster?: string;
  readonly status?: string;
}

export interface EndpointRow {
  readonly address: string;
  readonly status: string;
  readonly outlierCheck: string;
  readonly cluster: string;
}

export function endpointsOf(
  clusters: envoy.admin.v3.Clusters,
  filter: EndpointFilter,
): readonly EndpointRow[] {
  return clusters.clusterStatuses
    .flatMap(({ name, hostStatuses }) =>
      (hostStatuses ?? []).map((host) => ({
        address: addressOf(host),
        status: healthOf(host),
        outlierCheck: host.healthStatus?.failedOutlierCheck === true ? 'FAILED' : 'OK',
        cluster: name ?? '',
      })),
    )
    .filter(
      ({ address, cluster, status }) =>
        (filter.cluster === undefined || cluster === filter.cluster) &&
        (filter.status === undefined || status.toLowerCase() === filter.status.toLowerCase()) &&
        (filter.port === undefined || address.endsWith(`:${filter.port}`)) &&
        (filter.address === undefined || address.includes(filter.address)),
    )
    .sort((a, b) => a.address.localeCompare(b.address) || a.cluster.localeCompare(b.cluster));
}

export function endpointTable(rows: readonly EndpointRow[]): string {
  return table(
    ['ENDPOINT', 'STATUS', 'OUTLIER CHECK', 'CLUSTER'],
    rows.map((row) => [row.address, row.status, row.outlierCheck, row.cluster]),
  );
}

function addressOf({ address }: HostStatus): string {
  const socket = address?.socketAddress;
  if (socket) return `${socket.address}:${socket.portValue ?? 0}`;
  const internal = address?.envoyInternalAddress;
  if (internal) return `envoy://${internal.serverListenerName}/${internal.endpointId}`;
  return address?.pipe?.path ?? '';
}

const health = ['UNKNOWN', 'HEALTHY', 'UNHEALTHY', 'DRAINING', 'TIMEOUT', 'DEGRADED'];

/** Whoever isn't known to be ill is taken for healthy, by Envoy as well. */
function healthOf({ healthStatus }: HostStatus): string {
  const status = health[healthStatus?.edsHealthStatus ?? 0] ?? 'UNKNOWN';
  return status === 'UNKNOWN' ? 'HEALTHY' : status;
}
