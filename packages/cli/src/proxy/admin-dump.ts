import { envoy } from '@weft/api/envoy';
import { envoyFromJson, isEnvoyType } from '@weft/api/envoy-json';
import { WeftError } from '@weft/telemetry';

const { admin } = envoy;
export type ClustersDump = envoy.admin.v3.ClustersConfigDump;
export type ListenersDump = envoy.admin.v3.ListenersConfigDump;
export type RoutesDump = envoy.admin.v3.RoutesConfigDump;
export type SecretsDump = envoy.admin.v3.SecretsConfigDump;

/** What an L7 proxy's `/config_dump` says, read: ours or Envoy's. */
export interface ProxyDump {
  readonly json: unknown;
  readonly clusters: ClustersDump | undefined;
  readonly listeners: ListenersDump | undefined;
  readonly routes: RoutesDump | undefined;
  readonly secrets: SecretsDump | undefined;
}

/** @throws WEFT1910 when it is another program's, such as a ztunnel's; Error for what Envoy's messages don't allow */
export function readConfigDump(json: unknown): ProxyDump {
  if (typeof json !== 'object' || json === null || !('configs' in json)) {
    throw new WeftError(
      'WEFT1910',
      'this is no L7 proxy’s /config_dump; weft ztunnel-config reads a ztunnel’s',
    );
  }
  const bytes = envoyFromJson('envoy.admin.v3.ConfigDump', withKnownTypes(json), {
    ignoreUnknownFields: true,
  });
  const { configs } = admin.v3.ConfigDump.decode(bytes);
  const part = <T>(name: string, type: { decode(bytes: Uint8Array): T }): T | undefined => {
    const any = configs.find(({ type_url }) => type_url?.endsWith(`.${name}`) === true);
    return any === undefined ? undefined : type.decode(any.value ?? new Uint8Array());
  };
  return {
    json,
    clusters: part('ClustersConfigDump', admin.v3.ClustersConfigDump),
    listeners: part('ListenersConfigDump', admin.v3.ListenersConfigDump),
    routes: part('RoutesConfigDump', admin.v3.RoutesConfigDump),
    secrets: part('SecretsConfigDump', admin.v3.SecretsConfigDump),
  };
}

/** What the proxy was started with, as it is in its `/config_dump`. Throws WEFT1910. */
export function readBootstrap(json: unknown): unknown {
  const configs = typeof json === 'object' && json !== null && 'configs' in json ? json.configs : undefined;
  for (const config of Array.isArray(configs) ? (configs as readonly unknown[]) : []) {
    if (typeof config !== 'object' || config === null || !('@type' in config)) continue;
    if (String(config['@type']).endsWith('.BootstrapConfigDump')) return config;
  }
  throw new WeftError('WEFT1910', 'there is no bootstrap in this /config_dump');
}

/** `/clusters?format=json`. */
export function readClusters(json: unknown): envoy.admin.v3.Clusters {
  return admin.v3.Clusters.decode(
    envoyFromJson('envoy.admin.v3.Clusters', json, { ignoreUnknownFields: true }),
  );
}

/** The resource in an Any, if it is one of this type. */
export function unpack<T>(
  any: { readonly value?: Uint8Array | null } | null | undefined,
  type: { decode(bytes: Uint8Array): T },
): T | undefined {
  return any === null || any === undefined ? undefined : type.decode(any.value ?? new Uint8Array());
}

/** ProtoJSON can't hold a message of an unknown type, and Envoy has more extensions than we read. */
function withKnownTypes(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(withKnownTypes);
  if (typeof json !== 'object' || json === null) return json;
  const entries = Object.entries(json).map(([key, value]) => [key, withKnownTypes(value)] as const);
  const type = '@type' in json ? json['@type'] : undefined;
  if (typeof type === 'string' && !isEnvoyType(type.slice(type.lastIndexOf('/') + 1))) {
    const { '@type': _, ...fields } = Object.fromEntries(entries);
    return { '@type': 'type.googleapis.com/google.protobuf.Struct', value: fields };
  }
  return Object.fromEntries(entries);
}
