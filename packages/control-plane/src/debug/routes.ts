import type { Graph } from '@weft/collections';
import {
  type AdminHandler,
  type AdminResponse,
  type PrometheusRegistry,
  type Readiness,
} from '@weft/telemetry';
import { MESH_KEY } from '../sources/sources.ts';
import type { TokenAuthenticator } from '../ca/token-authenticator.ts';
import { restricted } from './access.ts';
import { dumpAuthorizations, dumpServices, dumpWorkloads } from './dumps.ts';
import {
  type MeshPagesOptions,
  authorizations,
  clusters,
  configurations,
  instances,
  networkGateways,
} from './mesh-pages.ts';
import { type ProxyDumpOptions, proxyDump, proxyEndpoints } from './proxy-dump.ts';
import { type PushFaultsOptions, pushStatus } from './push-status.ts';
import { endpoints, registry } from './registry.ts';
import { connectionSummary, syncStatus } from './sync-status.ts';

export interface DebugOptions extends MeshPagesOptions, ProxyDumpOptions, Omit<PushFaultsOptions, 'sources'> {
  readonly version: string;
  readonly systemNamespace: string;
  readonly graph: Graph;
  readonly registry: PrometheusRegistry;
  readonly authenticator: TokenAuthenticator;
}

type Views = Readonly<Record<string, (url: URL) => unknown>>;

/** Pages by path: over HTTP on port 15014 and over xDS alike. */
function debugViews(options: DebugOptions): Views {
  const { graph, ambient } = options;
  const clients = (): unknown[] => options.connections().map(connectionSummary);
  const namespaceOf = (url: URL): string | null => url.searchParams.get('namespace');
  return {
    '/debug/syncz': () => options.connections().map(syncStatus),
    '/debug/adsz': () => ({ totalClients: clients().length, clients: clients() }),
    '/debug/connections': () => ({ totalClients: clients().length, clients: clients() }),
    '/debug/registryz': (url) => registry(options, namespaceOf(url)),
    '/debug/endpointz': (url) => endpoints(options, namespaceOf(url)),
    '/debug/ambientz': (url) => {
      const namespace = namespaceOf(url);
      return {
        workloads: dumpWorkloads(ambient, namespace),
        services: dumpServices(ambient, namespace),
        policies: dumpAuthorizations(ambient, namespace),
      };
    },
    '/debug/authorizationz': (url) => authorizations(options, namespaceOf(url)),
    '/debug/configz': (url) => configurations(options, namespaceOf(url)),
    '/debug/instancesz': () => instances(options),
    '/debug/networkz': () => networkGateways(options),
    '/debug/clusterz': () => clusters(options),
    '/debug/push_status': () => pushStatus(options),
    '/debug/mesh': () => ambient.mesh.get(MESH_KEY) ?? ambient.defaultMesh,
    '/debug/collections': () => graph.statistics(),
  };
}

/** Pages about one proxy: also for callers of its own namespace. */
const proxyPages = {
  '/debug/config_dump': (options: DebugOptions, proxyId: string) => {
    const configs = proxyDump(options, proxyId);
    return configs && { configs };
  },
  '/debug/edsz': proxyEndpoints,
} as const satisfies Readonly<Record<string, (options: DebugOptions, proxyId: string) => unknown>>;

/** A page by what follows `/debug/`; undefined for one that doesn't exist. */
export function debugPage(options: DebugOptions, name: string): unknown {
  const url = new URL(`/debug/${name}`, 'http://debug');
  const proxyPage = Object.entries(proxyPages).find(([path]) => path === url.pathname)?.[1];
  return proxyPage === undefined
    ? debugViews(options)[url.pathname]?.(url)
    : proxyPage(options, url.searchParams.get('proxyID') ?? '');
}

function proxyRoutes(options: DebugOptions): Record<string, AdminHandler> {
  return Object.fromEntries(
    Object.entries(proxyPages).map(([path, page]) => [
      path,
      restricted(
        ({ url }) => {
          const proxyId = url.searchParams.get('proxyID');
          if (proxyId === null) return { status: 400, body: `usage: ${path}?proxyID=POD.NAMESPACE\n` };
          const shown = page(options, proxyId);
          return shown === undefined
            ? { status: 404, body: 'this proxy is not connected to this replica; it may be to another\n' }
            : json(shown);
        },
        options,
        ({ url }, namespace) => url.searchParams.get('proxyID')?.endsWith(`.${namespace}`) === true,
      ),
    ]),
  );
}

/** Port 15014: metrics for anybody, the rest for operators. */
export function debugRoutes(options: DebugOptions): Record<string, AdminHandler> {
  const { graph, registry: metrics } = options;
  const views = debugViews(options);
  const guarded = (handler: AdminHandler): AdminHandler => restricted(handler, options);
  const pages = [...Object.keys(views), ...Object.keys(proxyPages), '/debug/lineage'].sort();
  const index = (): AdminResponse => ({ body: `${pages.join('\n')}\n` });
  return {
    '/metrics': async () => ({ contentType: metrics.contentType, body: await metrics.metrics() }),
    // Text, of which istioctl takes all as the version.
    '/version': () => ({ body: options.version }),
    '/debug/lineage': guarded(({ url }) => lineage(graph, url)),
    '/debug': guarded(index),
    '/debug/list': guarded(index),
    ...proxyRoutes(options),
    ...Object.fromEntries(
      Object.entries(views).map(([path, view]) => [path, guarded(({ url }) => json(view(url)))] as const),
    ),
  };
}

/** Port 8080: says what is missing, for whoever reads the pod's events. */
export function readyRoutes(
  readiness: Readiness,
  /** What is wrong while it serves nevertheless, as sentences without a stop. */
  troubles: () => readonly string[],
): Record<string, AdminHandler> {
  return {
    '/ready': () => {
      if (!readiness.ready)
        return { status: 503, body: `not ready, waiting for: ${readiness.pending.join(', ')}\n` };
      return { body: `${['ready', ...troubles()].join(', but ')}\n` };
    },
  };
}

function lineage(graph: Graph, url: URL): AdminResponse {
  const collection = url.searchParams.get('collection') ?? 'addresses';
  const key = url.searchParams.get('key');
  if (key === null) return { status: 400, body: 'usage: /debug/lineage?collection=addresses&key=KEY\n' };
  const node = graph.lineage(collection, key);
  if (node === undefined) return { status: 404, body: `there is no collection ${collection}\n` };
  return json(node);
}

function json(value: unknown): AdminResponse {
  return { contentType: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` };
}
