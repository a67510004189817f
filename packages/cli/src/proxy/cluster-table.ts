import { envoy } from '@weft/api/envoy';
import { table } from '../output.ts';
import { unpack, type ClustersDump } from './admin-dump.ts';

const { Cluster } = envoy.config.cluster.v3;
type Cluster = envoy.config.cluster.v3.Cluster;

/** The parts of `outbound|80|v1|host` and `inbound-vip|80|http|host`. */
export interface ClusterName {
  readonly direction: string;
  readonly port: string;
  readonly subset: string;
  readonly host: string;
}

export function parseClusterName(name: string): ClusterName {
  const [direction, port, subset, host] = name.split('|');
  if (direction === undefined || port === undefined || subset === undefined || host === undefined)
    return { direction: '-', port: '-', subset: '-', host: name };
  return { direction, port, subset: subset === '' ? '-' : subset, host };
}

export interface ClusterFilter {
  readonly fqdn?: string;
  readonly port?: number;
  readonly subset?: string;
  readonly direction?: string;
}

export function clustersOf(dump: ClustersDump | undefined, filter: ClusterFilter): readonly Cluster[] {
  const all = [...(dump?.staticClusters ?? []), ...(dump?.dynamicActiveClusters ?? [])];
  return all
    .flatMap(({ cluster }) => unpack(cluster, Cluster) ?? [])
    .filter((cluster) => matches(parseClusterName(cluster.name), filter))
    .sort((a, b) => a.name.localeCompare(b.name));
}

export function matches(name: ClusterName, filter: ClusterFilter): boolean {
  return (
    (filter.fqdn === undefined || name.host === filter.fqdn) &&
    (filter.port === undefined || name.port === String(filter.port)) &&
    (filter.subset === undefined || name.subset === filter.subset) &&
    (filter.direction === undefined || name.direction === filter.direction)
  );
}

const discovery = ['STATIC', 'STRICT_DNS', 'LOGICAL_DNS', 'EDS', 'ORIGINAL_DST'];

export function clusterTable(clusters: readonly Cluster[]): string {
  return table(
    ['SERVICE FQDN', 'PORT', 'SUBSET', 'DIRECTION', 'TYPE', 'DESTINATION RULE'],
    clusters.map((cluster) => {
      const { host, port, subset, direction } = parseClusterName(cluster.name);
      const type = cluster.clusterType?.name ?? discovery[cluster.type ?? 0] ?? '';
      return [host, port, subset, direction, type, configName(cluster.metadata)];
    }),
  );
}

type Metadata = envoy.config.core.v3.Metadata.$Properties | null | undefined;

/** `name.namespace` of the object that a resource was made of, by the control plane's note in `istio.config`. */
export function configName(metadata: Metadata): string {
  const path = metadata?.filterMetadata?.['istio']?.fields?.['config']?.stringValue ?? '';
  const [, namespace, , name] = /\/namespaces\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
  return name === undefined ? '' : `${name}.${namespace}`;
}
