import {
  AdminServer,
  metricsContentType,
  type AdminHandler,
  type LogLevels,
  type MetricsRegistry,
  type Readiness,
} from '@weft/telemetry';
import { jsonStream } from './json-stream.ts';
import { changeLogging } from './logging.ts';
import { heapHandler, profileHandler, type TakeProfile } from './profiling.ts';

export interface AdminOptions {
  readonly configDump: () => Readonly<Record<string, unknown>>;
  readonly connections: () => unknown;
  readonly levels: LogLevels;
  readonly logFilter: string;
  readonly takeProfile: TakeProfile;
  readonly quit: () => void;
}

const methodNotAllowed = { status: 405, body: 'Method Not Allowed\n' };

function getOnly(handler: AdminHandler): AdminHandler {
  return (request) => (request.method === 'GET' ? handler(request) : methodNotAllowed);
}

/** Port 15000, on loopback only. */
function adminServer({
  configDump,
  connections,
  levels,
  logFilter,
  takeProfile,
  quit,
}: AdminOptions): AdminServer {
  const json = (value: () => unknown): AdminHandler =>
    getOnly(() => ({ contentType: 'application/json', body: JSON.stringify(value(), undefined, 2) }));
  return new AdminServer({
    '/': getOnly(() => ({ contentType: 'text/html; charset=utf-8', body: INDEX })),
    '/config_dump': getOnly(() => ({ contentType: 'application/json', body: jsonStream(configDump()) })),
    '/connections': json(connections),
    '/debug/pprof/profile': getOnly(profileHandler(takeProfile)),
    '/debug/pprof/heap': getOnly(heapHandler),
    '/logging': ({ method, url }) =>
      method === 'POST' ? changeLogging(levels, url.searchParams, logFilter) : methodNotAllowed,
    '/quitquitquit': ({ method }) => {
      if (method !== 'POST') return methodNotAllowed;
      setImmediate(quit);
      return { body: 'shutdown now\n' };
    },
  });
}

const INDEX = `<!DOCTYPE html><title>ztunnel</title><h1>ztunnel</h1><ul>
<li><a href="config_dump">config_dump</a>: state of the proxy
<li><a href="connections">connections</a>: open connections and since when
<li>POST logging?level=…: log levels (<code>info</code>, <code>access=debug</code>)
<li><a href="debug/pprof/profile?seconds=10&amp;frequency=100">debug/pprof/profile</a>: .cpuprofile of the control thread;
<code>thread=data-0</code> of a data thread
<li><a href="debug/pprof/heap">debug/pprof/heap</a>: .heapsnapshot of the control thread
<li>POST quitquitquit: drain and stop</ul>
`;

/** Port 15020. */
function statsServer(registry: MetricsRegistry): AdminServer {
  const metrics: AdminHandler = async ({ headers }) => ({
    contentType: metricsContentType(headers.accept),
    body: await registry.metrics(),
  });
  return new AdminServer({ '/metrics': metrics, '/stats/prometheus': metrics });
}

/** Port 15021. */
function readinessServer(readiness: Readiness): AdminServer {
  return new AdminServer({
    '/healthz/ready': getOnly(() => {
      if (readiness.ready) return { body: 'ready\n' };
      return { status: 500, body: `not ready, pending: ${readiness.pending.join(', ')}\n` };
    }),
  });
}

export interface EndpointOptions {
  readonly ports: EndpointPorts;
  readonly admin: AdminOptions;
  readonly registry: MetricsRegistry;
  readonly readiness: Readiness;
}

export interface EndpointPorts {
  readonly admin: number;
  readonly stats: number;
  readonly readiness: number;
}

export interface Endpoints {
  /** Where they are bound. */
  readonly ports: EndpointPorts;
  close(): Promise<void>;
}

/** Opens them all; rejects when a port is taken. */
export async function openEndpoints(o: EndpointOptions): Promise<Endpoints> {
  const admin = adminServer(o.admin);
  const stats = statsServer(o.registry);
  const readiness = readinessServer(o.readiness);
  const close = async (): Promise<void> => {
    await Promise.all([admin, stats, readiness].map((server) => server.close()));
  };
  try {
    const ports = {
      admin: await admin.listen(o.ports.admin, 'localhost'),
      stats: await stats.listen(o.ports.stats),
      readiness: await readiness.listen(o.ports.readiness),
    };
    return { ports, close };
  } catch (error) {
    await close();
    throw error;
  }
}
