import { EnvoyTypeUrl, TypeUrl } from '@weft/api';
import { envoyFromJson, envoyToJson } from '@weft/api/envoy-json';
import { type ConnectionStatus, type Node, type ServedType, type VersionedResource } from '@weft/xds';

export interface ProxyDumpOptions {
  readonly connections: () => readonly ConnectionStatus[];
  /** What a proxy is offered. */
  readonly typesOf: (node: Node) => readonly ServedType[];
}

/** One kind of a proxy's configuration, ProtoJSON of a message of `envoy.admin.v3`. */
type Section = { readonly '@type': string } & Readonly<Record<string, unknown>>;

const ADMIN = 'type.googleapis.com/envoy.admin.v3.';
const MAX_DUMPED = 10_000;

/** `pod.namespace`, as `proxyID` names a proxy. */
export function proxyName({ node }: ConnectionStatus): string {
  return node?.id?.split('~')[2] ?? '';
}

/**
 * `/debug/config_dump`: what a proxy is sent, in the shape of Envoy's `/config_dump`, so that istioctl can compare the
 * two. Undefined for a proxy that isn't connected here.
 */
export function proxyDump(options: ProxyDumpOptions, proxyId: string): readonly Section[] | undefined {
  const resources = resourcesOf(options, proxyId);
  if (resources === undefined) return undefined;
  const of = (typeUrl: string): readonly VersionedResource[] => resources.get(typeUrl) ?? [];
  return [
    {
      '@type': `${ADMIN}ClustersConfigDump`,
      dynamic_active_clusters: of(EnvoyTypeUrl.cluster).map((r) => ({
        version_info: r.version,
        cluster: anyJson(EnvoyTypeUrl.cluster, r),
      })),
    },
    {
      '@type': `${ADMIN}ListenersConfigDump`,
      dynamic_listeners: of(EnvoyTypeUrl.listener).map((r) => ({
        name: r.name,
        active_state: { version_info: r.version, listener: anyJson(EnvoyTypeUrl.listener, r) },
      })),
    },
    {
      '@type': `${ADMIN}RoutesConfigDump`,
      dynamic_route_configs: of(EnvoyTypeUrl.route).map((r) => ({
        version_info: r.version,
        route_config: anyJson(EnvoyTypeUrl.route, r),
      })),
    },
    {
      '@type': `${ADMIN}EndpointsConfigDump`,
      dynamic_endpoint_configs: endpointsOf(resources).map((r) => ({
        endpoint_config: anyJson(EnvoyTypeUrl.endpoint, r),
      })),
    },
  ];
}

/** The same as messages, for whoever asks over xDS. */
export function encodeSection(section: Section): { readonly typeUrl: string; readonly bytes: Uint8Array } {
  const { '@type': typeUrl, ...message } = section;
  return { typeUrl, bytes: envoyFromJson(typeNameOf(typeUrl), message) };
}

/** `/debug/edsz`: the endpoints of each cluster of a proxy. */
export function proxyEndpoints(options: ProxyDumpOptions, proxyId: string): readonly unknown[] | undefined {
  const resources = resourcesOf(options, proxyId);
  if (resources === undefined) return undefined;
  return endpointsOf(resources).map(({ bytes }) => envoyToJson(typeNameOf(EnvoyTypeUrl.endpoint), bytes));
}

function resourcesOf(
  { connections, typesOf }: ProxyDumpOptions,
  proxyId: string,
): ReadonlyMap<string, readonly VersionedResource[]> | undefined {
  const node = connections().find((connection) => proxyName(connection) === proxyId)?.node;
  if (node === undefined) return undefined;
  const envoyTypes = typesOf(node).filter(({ source }) => !ambientTypes.has(source.typeUrl));
  return new Map(envoyTypes.map(({ source }) => [source.typeUrl, [...source.list()].slice(0, MAX_DUMPED)]));
}

/** These are the same for all proxies; `/debug/ambientz` shows them. */
const ambientTypes: ReadonlySet<string> = new Set([TypeUrl.address, TypeUrl.workload, TypeUrl.authorization]);

/** A proxy asks for those of its clusters, of which they have the names. */
function endpointsOf(resources: ReadonlyMap<string, readonly VersionedResource[]>): VersionedResource[] {
  const clusters = new Set((resources.get(EnvoyTypeUrl.cluster) ?? []).map(({ name }) => name));
  return (resources.get(EnvoyTypeUrl.endpoint) ?? []).filter(({ name }) => clusters.has(name));
}

function anyJson(typeUrl: string, { bytes }: VersionedResource): object {
  return { '@type': typeUrl, ...(envoyToJson(typeNameOf(typeUrl), bytes) as object) }; // a message's JSON
}

function typeNameOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}
