import { readFileSync } from 'node:fs';
import { KubernetesClient, inClusterConnection, isInCluster, loadKubeConfig } from '@weft/kubernetes';
import {
  LogLevels,
  createLogger,
  describeError,
  stdoutSink,
  systemClock,
  untilShutdown,
} from '@weft/telemetry';
import { readConfig } from './config.ts';
import { startControlPlane } from './control-plane.ts';

const sink = stdoutSink();

async function main(): Promise<void> {
  const config = readConfig(process.env, packageVersion());
  const logger = createLogger({
    scope: 'istiod',
    sink,
    format: config.log.format,
    levels: new LogLevels(config.log.level),
  });
  const client = new KubernetesClient(isInCluster() ? inClusterConnection() : loadKubeConfig());
  const stop = new AbortController();
  const shutdown = untilShutdown().then((signal) => {
    logger.info('stopping', { signal });
    stop.abort();
  });
  logger.info('starting', {
    version: config.version,
    namespace: config.namespace,
    clusterId: config.clusterId,
  });
  try {
    const { signal } = stop;
    const controlPlane = await startControlPlane({ config, client, clock: systemClock, logger, signal });
    await shutdown;
    await controlPlane.close();
  } catch (error) {
    // Being told to stop while starting is no failure.
    if (!stop.signal.aborted) throw error;
  }
  client.close();
}

function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown';
}

main().then(
  () => {
    sink.flush();
    process.exit(0);
  },
  (error: unknown) => {
    sink.flush();
    process.stderr.write(`istiod: ${describeError(error)}\n`);
    process.exit(1);
  },
);
