import type { Graph } from '@weft/collections';
import {
  type AdminHandler,
  type AdminResponse,
  type PrometheusRegistry,
  type Readiness,
} from '@weft/telemetry';
import type { Ambient } from '../ambient/ambient-graph.ts';
import { MESH_KEY } from '../sources/sources.ts';
import type { TokenAuthenticator } from '../ca/token-authenticator.ts';
import type { ConnectionStatus } from '@weft/xds';
import { restricted } from './access.ts';
import { dumpAuthorizations, dumpServices, dumpWorkloads } from './dumps.ts';
import { type RegistryOptions, endpoints, registry } from './registry.ts';
import { connectionSummary, syncStatus } from './sync-status.ts';

export interface DebugOptions extends RegistryOptions {
  readonly version: string;
  readonly systemNamespace: string;
  readonly graph: Graph;
  readonly ambient: Ambient;
  readonly registry: PrometheusRegistry;
  readonly authenticator: TokenAuthenticator;
  readonly connections: () => readonly ConnectionStatus[];
}

type Views = Readonly<Record<string, (url: URL) => unknown>>;

/** Pages by path: over HTTP on port 15014 and over xDS alike. */
export function debugViews(options: DebugOptions): Views {
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
    '/debug/authorizationz': (url) => dumpAuthorizations(ambient, namespaceOf(url)),
    '/debug/mesh': () => ambient.mesh.get(MESH_KEY) ?? ambient.defaultMesh,
    '/debug/collections': () => graph.statistics(),
  };
}

/** A page by what follows `/debug/`; undefined for one that doesn't exist. */
export function debugPage(views: Views, name: string): unknown {
  const url = new URL(`/debug/${name}`, 'http://debug');
  return views[url.pathname]?.(url);
}

/** Port 15014: metrics for anybody, the rest for operators. */
export function debugRoutes(options: DebugOptions): Record<string, AdminHandler> {
  const { graph, registry: metrics } = options;
  const views = debugViews(options);
  const guarded = (handler: AdminHandler): AdminHandler => restricted(handler, options);
  return {
    '/metrics': async () => ({ contentType: metrics.contentType, body: await metrics.metrics() }),
    '/version': () => json({ version: options.version }),
    '/debug/lineage': guarded(({ url }) => lineage(graph, url)),
    '/debug/list': guarded(() => ({
      body: `${[...Object.keys(views), '/debug/lineage'].sort().join('\n')}\n`,
    })),
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
