import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { KubernetesClient } from '@weft/kubernetes';
import { Environment, LogLevels, Readiness, createLogger, describeError } from '@weft/telemetry';
import { startCapture } from '../agent/capture-runtime.ts';
import { loadConfig } from '../agent/config.ts';
import { createAgentMetrics } from '../agent/metrics.ts';

/** The node agent of the chaos test: all of it but the installation of the plugin. Arguments: folder, API server's port, back end. */
const [dir = '', port = '', backend = ''] = process.argv.slice(2);
const logger = createLogger({
  scope: 'agent',
  format: 'plain',
  levels: new LogLevels('info'),
  sink: {
    write: (line: string) => appendFileSync(path.join(dir, 'agent.log'), line),
    flush: () => undefined,
  },
});
const config = loadConfig(
  new Environment({
    NODE_NAME: 'n1',
    AMBIENT_ENABLEMENT_SELECTOR: JSON.stringify([
      { podSelector: { matchLabels: { 'istio.io/dataplane-mode': 'ambient' } } },
    ]),
    ALLOW_SWITCH_TO_HOST_NS: 'false',
    ZTUNNEL_UDS_ADDRESS: path.join(dir, 'ztunnel.sock'),
    ...(backend === 'nftables' ? { NATIVE_NFTABLES: 'true' } : { FORCE_IPTABLES_BINARY: backend }),
    WEFT_AUDIT_PERIOD: '1s',
    WEFT_AUDIT_GRACE: '5s',
  }),
);
try {
  const capture = await startCapture({
    config: {
      ...config,
      runDir: dir,
      hostRoot: '/',
      procDir: path.join(dir, 'proc'),
      netnsDir: path.join(dir, 'netns'),
    },
    client: new KubernetesClient({ server: `http://127.0.0.1:${port}`, namespace: '', tls: {} }),
    readiness: new Readiness(),
    metrics: createAgentMetrics(),
    logger,
  });
  process.once('SIGTERM', () => void capture.close(true).then(() => process.exit(0)));
} catch (error) {
  logger.error('the agent can not go on', { error: describeError(error) });
  process.exit(1);
}
