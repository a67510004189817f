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

export interface DebugOptions {
  readonly version: string;
  readonly systemNamespace: string;
  readonly graph: Graph;
  readonly ambient: Ambient;
  readonly registry: PrometheusRegistry;
  readonly authenticator: TokenAuthenticator;
  readonly connections: () => readonly ConnectionStatus[];
}

/** Port 15014: metrics for anybody, the rest for operators. */
export function debugRoutes(options: DebugOptions): Record<string, AdminHandler> {
  const { graph, ambient, registry } = options;
  const views: Readonly<Record<string, (url: URL) => unknown>> = {
    '/debug/syncz': () => options.connections().map(syncStatus),
    '/debug/connections': () => options.connections().map(connectionSummary),
    '/debug/registryz': (url) => dumpServices(ambient, url.searchParams.get('namespace')),
    '/debug/ambientz': (url) => {
      const namespace = url.searchParams.get('namespace');
      return {
        workloads: dumpWorkloads(ambient, namespace),
        services: dumpServices(ambient, namespace),
        policies: dumpAuthorizations(ambient, namespace),
      };
    },
    '/debug/authorizationz': (url) => dumpAuthorizations(ambient, url.searchParams.get('namespace')),
    '/debug/mesh': () => ambient.mesh.get(MESH_KEY) ?? ambient.defaultMesh,
    '/debug/collections': () => graph.statistics(),
  };
  const guarded = (handler: AdminHandler): AdminHandler => restricted(handler, options);
  return {
    '/metrics': async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
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
export function readyRoutes(readiness: Readiness): Record<string, AdminHandler> {
  return {
    '/ready': () =>
      readiness.ready
        ? { body: 'ready\n' }
        : { status: 503, body: `not ready, waiting for: ${readiness.pending.join(', ')}\n` },
  };
}

/** What a proxy was sent, acknowledged and rejected. */
function syncStatus({ id, node, types }: ConnectionStatus): unknown {
  return {
    proxy: node?.id ?? '',
    connection: id,
    types: Object.fromEntries(types.map(({ typeUrl, ...status }) => [typeUrl, status])),
  };
}

function connectionSummary({ id, address, node, connectedAt, types }: ConnectionStatus): unknown {
  return {
    connectionId: id,
    address,
    connectedAt,
    node: node?.id ?? '',
    watches: types.map(({ typeUrl }) => typeUrl),
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
