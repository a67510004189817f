import {
  AdminServer,
  metricsContentType,
  type AdminHandler,
  type LogLevels,
  type MetricsRegistry,
  type Readiness,
} from '@weft/telemetry';
import { changeLogging } from './logging.ts';

export interface AdminOptions {
  readonly configDump: () => unknown;
  readonly connections: () => unknown;
  readonly levels: LogLevels;
  readonly logFilter: string;
  readonly quit: () => void;
}

const methodNotAllowed = { status: 405, body: 'Method Not Allowed\n' };

/** Port 15000, on loopback only. */
function adminServer({ configDump, connections, levels, logFilter, quit }: AdminOptions): AdminServer {
  const json = (value: () => unknown): AdminHandler => {
    return ({ method }) =>
      method === 'GET'
        ? { contentType: 'application/json', body: JSON.stringify(value(), undefined, 2) }
        : methodNotAllowed;
  };
  return new AdminServer({
    '/': () => ({ contentType: 'text/html; charset=utf-8', body: INDEX }),
    '/config_dump': json(configDump),
    '/connections': json(connections),
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
    '/healthz/ready': ({ method }) => {
      if (method !== 'GET') return methodNotAllowed;
      if (readiness.ready) return { body: 'ready\n' };
      return { status: 500, body: `not ready, pending: ${readiness.pending.join(', ')}\n` };
    },
  });
}

export interface EndpointOptions {
  readonly ports: { readonly admin: number; readonly stats: number; readonly readiness: number };
  readonly admin: AdminOptions;
  readonly registry: MetricsRegistry;
  readonly readiness: Readiness;
}

/** Opens them all; rejects when a port is taken. */
export async function openEndpoints({
  ports,
  admin,
  registry,
  readiness,
}: EndpointOptions): Promise<{ close(): Promise<void> }> {
  const servers = [
    { server: adminServer(admin), port: ports.admin, host: '127.0.0.1' },
    { server: statsServer(registry), port: ports.stats, host: undefined },
    { server: readinessServer(readiness), port: ports.readiness, host: undefined },
  ];
  for (const { server, port, host } of servers) await server.listen(port, host);
  const admin6 = adminServer(admin);
  // Without IPv6 on loopback the other one has to do.
  await admin6.listen(ports.admin, '::1').catch(() => undefined);
  return {
    close: async () => {
      for (const { server } of servers) await server.close();
      await admin6.close();
    },
  };
}
