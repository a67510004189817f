import { envoyToJson } from '@weft/api/envoy-json';
import type { ResourceKind, ResourceStatus } from './sources.ts';

const ADMIN = 'type.googleapis.com/envoy.admin.v3.';
const REDACTED = Buffer.from('[redacted]').toString('base64');

export interface DumpQuery {
  /** Lists only this repeated field of the dumps: `dynamic_listeners`, `static_clusters`… */
  readonly resource?: string;
  readonly nameMatches?: (name: string) => boolean;
  readonly includeEndpoints?: boolean;
}

/**
 * `/config_dump` in the shape that istioctl and other tools read: one dump for each kind, with the type URLs of
 * `envoy.admin.v3`. Resources are ProtoJSON; private keys are not in it.
 */
export function configDump(resources: Iterable<ResourceStatus>, query: DumpQuery = {}): object {
  const wanted = [...resources].filter((r) => query.nameMatches?.(r.name) ?? true);
  const of = (kind: ResourceKind): readonly ResourceStatus[] => wanted.filter((r) => r.kind === kind);
  const configs: Dump[] = [
    ...of('bootstrap').map((r) => ({
      '@type': `${ADMIN}BootstrapConfigDump`,
      bootstrap: resourceJson(r, false),
      last_updated: timestamp(r),
    })),
    clustersDump(of('cluster')),
    listenersDump(of('listener')),
    { '@type': `${ADMIN}ScopedRoutesConfigDump` },
    routesDump(of('route')),
    secretsDump(of('secret')),
    { '@type': `${ADMIN}EcdsConfigDump` },
  ];
  if (query.includeEndpoints === true) configs.push(endpointsDump(of('endpoint')));
  if (query.resource === undefined) return { configs };
  const { resource } = query;
  return { configs: configs.flatMap((dump) => (Array.isArray(dump[resource]) ? dump[resource] : [])) };
}

type Dump = { readonly '@type': string } & Readonly<Record<string, unknown>>;

function clustersDump(clusters: readonly ResourceStatus[]): Dump {
  const entry = (r: ResourceStatus): object => ({ ...versioned(r), cluster: resourceJson(r), ...failure(r) });
  return {
    '@type': `${ADMIN}ClustersConfigDump`,
    version_info: latestVersion(clusters),
    static_clusters: inState(clusters, 'static').map((r) => ({
      cluster: resourceJson(r),
      last_updated: timestamp(r),
    })),
    dynamic_active_clusters: inState(clusters, 'active').map(entry),
    dynamic_warming_clusters: inState(clusters, 'warming').map(entry),
  };
}

function listenersDump(listeners: readonly ResourceStatus[]): Dump {
  const dynamic = new Map<string, Record<string, unknown>>();
  for (const r of listeners) {
    if (r.state === 'static') continue;
    const entry = dynamic.get(r.name) ?? { name: r.name, client_status: 'ACKED' };
    dynamic.set(r.name, entry);
    if (r.state !== 'rejected') entry[`${r.state}_state`] = { ...versioned(r), listener: resourceJson(r) };
    if (r.error !== undefined) {
      entry['client_status'] = 'NACKED';
      Object.assign(entry, failure(r));
    }
  }
  return {
    '@type': `${ADMIN}ListenersConfigDump`,
    version_info: latestVersion(listeners),
    static_listeners: inState(listeners, 'static').map((r) => ({
      listener: resourceJson(r),
      last_updated: timestamp(r),
    })),
    dynamic_listeners: [...dynamic.values()],
  };
}

function routesDump(routes: readonly ResourceStatus[]): Dump {
  return {
    '@type': `${ADMIN}RoutesConfigDump`,
    static_route_configs: inState(routes, 'static').map((r) => ({
      route_config: resourceJson(r),
      last_updated: timestamp(r),
    })),
    dynamic_route_configs: inState(routes, 'active').map((r) => ({
      ...versioned(r),
      route_config: resourceJson(r),
    })),
  };
}

function secretsDump(secrets: readonly ResourceStatus[]): Dump {
  const entry = (r: ResourceStatus): object => ({
    name: r.name,
    ...versioned(r),
    secret: redact(resourceJson(r)),
  });
  return {
    '@type': `${ADMIN}SecretsConfigDump`,
    static_secrets: inState(secrets, 'static').map(entry),
    dynamic_active_secrets: inState(secrets, 'active').map(entry),
    dynamic_warming_secrets: inState(secrets, 'warming').map(entry),
  };
}

function endpointsDump(endpoints: readonly ResourceStatus[]): Dump {
  return {
    '@type': `${ADMIN}EndpointsConfigDump`,
    dynamic_endpoint_configs: endpoints.map((r) => ({ ...versioned(r), endpoint_config: resourceJson(r) })),
  };
}

function inState(
  resources: readonly ResourceStatus[],
  state: ResourceStatus['state'],
): readonly ResourceStatus[] {
  return resources.filter((r) => r.state === state);
}

function versioned(r: ResourceStatus): object {
  return {
    version_info: r.versionInfo,
    last_updated: timestamp(r),
    client_status: r.error === undefined ? 'ACKED' : 'NACKED',
  };
}

function failure(r: ResourceStatus): object {
  return r.error === undefined
    ? {}
    : { error_state: { details: r.error, last_update_attempt: timestamp(r), version_info: r.versionInfo } };
}

function timestamp(r: ResourceStatus): string {
  return new Date(r.lastUpdatedMs).toISOString();
}

function latestVersion(resources: readonly ResourceStatus[]): string {
  const dynamic = resources.filter((r) => r.state !== 'static');
  return dynamic.reduce((a, b) => (b.lastUpdatedMs >= a.lastUpdatedMs ? b : a), {
    versionInfo: '',
    lastUpdatedMs: 0,
  }).versionInfo;
}

/** The resource as an Any in JSON; what can't be shown is still listed. */
function resourceJson(r: ResourceStatus, any = true): object {
  const prefix = any ? { '@type': r.typeUrl } : {};
  try {
    const json = envoyToJson(r.typeUrl.slice(r.typeUrl.lastIndexOf('/') + 1), r.bytes);
    return typeof json === 'object' && json !== null ? { ...prefix, ...json } : prefix;
  } catch (error) {
    return { ...prefix, value: Buffer.from(r.bytes).toString('base64'), undecodable: String(error) };
  }
}

/** Replaces private keys and generic secrets wherever they stand. */
function redact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => {
      const secret = [
        'privateKey',
        'private_key',
        'password',
        'genericSecret',
        'sessionTicketKeys',
        'pkcs12',
      ].includes(key);
      return [key, secret ? { inlineBytes: REDACTED } : redact(member)];
    }),
  );
}
