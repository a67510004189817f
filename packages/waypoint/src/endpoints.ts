import { AdminServer, type AdminHandler, type Readiness } from '@weft/telemetry';
import type { Config } from './config.ts';

const methodNotAllowed = { status: 405, body: 'Method Not Allowed\n' };

export interface EndpointOptions {
  readonly ports: Config['ports'];
  readonly readiness: Readiness;
  /** Everything the engine counts, in Prometheus' text format. */
  readonly metrics: () => string;
}

/** The ports that kubelet and Prometheus ask: 15021 readiness, 15020 and 15090 metrics. */
export async function openEndpoints({
  ports,
  readiness,
  metrics,
}: EndpointOptions): Promise<{ close(): Promise<void> }> {
  const ready: AdminHandler = ({ method }) => {
    if (method !== 'GET') return methodNotAllowed;
    if (readiness.ready) return { body: 'ready\n' };
    return { status: 503, body: `not ready, pending: ${readiness.pending.join(', ')}\n` };
  };
  const prometheus: AdminHandler = ({ method }) =>
    method === 'GET'
      ? { contentType: 'text/plain; version=0.0.4; charset=utf-8', body: metrics() }
      : methodNotAllowed;
  const servers = [
    { port: ports.readiness, server: new AdminServer({ '/healthz/ready': ready }) },
    {
      port: ports.stats,
      server: new AdminServer({
        '/healthz/ready': ready,
        '/metrics': prometheus,
        '/stats/prometheus': prometheus,
      }),
    },
    { port: ports.proxyStats, server: new AdminServer({ '/stats/prometheus': prometheus }) },
  ];
  const close = async (): Promise<void> => {
    await Promise.all(servers.map(({ server }) => server.close()));
  };
  try {
    for (const { server, port } of servers) await server.listen(port);
  } catch (error) {
    await close();
    throw error;
  }
  return { close };
}
