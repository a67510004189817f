import { watch } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CniName, Component } from '@weft/api';
import {
  KubernetesClient,
  Reflector,
  SERVICE_ACCOUNT_DIR,
  inClusterConnection,
  resources,
} from '@weft/kubernetes';
import { raiseFileLimit } from '@weft/linux';
import {
  AdminServer,
  Environment,
  LogLevels,
  Readiness,
  WeftError,
  createLogger,
  describeError,
  metricsContentType,
  stdoutSink,
  systemClock,
  untilShutdown,
  type Logger,
} from '@weft/telemetry';
import { Installer } from '../install/installer.ts';
import { KubeconfigFile } from '../install/kubeconfig-file.ts';
import { startCapture } from './capture-runtime.ts';
import { loadConfig, type AgentConfig } from './config.ts';
import { createAgentMetrics } from './metrics.ts';
import { isRemoved, type OwnDaemonSet } from './removal.ts';

const CONFIG_CHECK_MS = 5_000;

const config = loadConfig(new Environment(process.env));
const sink = stdoutSink();
const logger = createLogger({
  scope: 'cni',
  format: config.logFormat,
  levels: new LogLevels(config.logLevel),
  sink,
});
try {
  await run(config, logger);
} catch (error) {
  logger.error('the agent can not go on', {
    error: describeError(error),
    next: WeftError.is(error) ? error.next : undefined,
  });
  process.exitCode = 1;
} finally {
  sink.flush();
}
process.exit();

async function run(config: AgentConfig, logger: Logger): Promise<void> {
  raiseFileLimit();
  const readiness = new Readiness(['install', 'pods', 'captured']);
  const metrics = createAgentMetrics();
  const client = new KubernetesClient(inClusterConnection());
  const stop = new AbortController();
  let ownDaemonSet: OwnDaemonSet = { kind: 'unknown' };
  new Reflector({
    client,
    type: resources.daemonSets,
    namespace: config.podNamespace,
    fieldSelector: `metadata.name=${Component.cni}`,
    onChange: (changes) => {
      for (const { kind, object } of changes)
        ownDaemonSet = kind === 'upsert' ? { kind: 'present', object } : { kind: 'gone' };
    },
    onSynced: () => undefined,
    signal: stop.signal,
    logger,
  });
  const capture = await startCapture({ config, client, readiness, metrics, logger });

  const installer = installerOf(config, logger);
  const kubeconfig = new KubeconfigFile({
    path: path.join(config.runDir, 'istio-cni-kubeconfig'),
    server: client.connection.server,
    serviceAccountDir: SERVICE_ACCOUNT_DIR,
  });
  const keepInstalled = (): void => {
    try {
      kubeconfig.refresh();
      const result = installer.ensureConfig(systemClock.now());
      if (result === 'written') metrics.installs.inc({ result: 'SUCCESS' });
      metrics.installReady.set(result === 'waiting' ? 0 : 1);
      if (result === 'waiting') readiness.close('install');
      else readiness.open('install');
    } catch (error) {
      metrics.installs.inc({ result: 'FAILURE' });
      metrics.installReady.set(0);
      readiness.close('install');
      logger.error('CNI configuration not written', { error: describeError(error) });
    }
  };
  installer.installProgram();
  keepInstalled();
  // Without the watcher, the timer still notices everything.
  const watcher = watch(config.cniConfDir, keepInstalled).on('error', (error) =>
    logger.warn('the CNI configuration is not watched any more', { error: describeError(error) }),
  );
  const timer = setInterval(keepInstalled, CONFIG_CHECK_MS);

  const health = new AdminServer({
    '/healthz': () => ({ body: 'ok\n' }),
    '/readyz': () =>
      readiness.ready
        ? { body: 'ready\n' }
        : { status: 503, body: `not ready, pending: ${readiness.pending.join(', ')}\n` },
  });
  const monitoring = new AdminServer({
    '/metrics': async ({ headers }) => ({
      body: await metrics.registry.metrics(),
      contentType: metricsContentType(headers.accept),
    }),
  });
  await health.listen(config.healthPort);
  await monitoring.listen(config.monitoringPort);
  logger.info('node agent is up', { node: config.nodeName, backend: capture.backend });

  const signal = await untilShutdown();
  const removed =
    config.removeOnExit ||
    (await isRemoved(client, config.podNamespace, config.nodeName, () => ownDaemonSet));
  logger.info('node agent ends', { signal, removed });
  clearInterval(timer);
  watcher.close();
  stop.abort();
  if (removed) installer.remove();
  await capture.close(removed);
  await Promise.all([health.close(), monitoring.close()]);
}

function installerOf(config: AgentConfig, logger: Logger): Installer {
  return new Installer({
    binDir: config.cniBinDir,
    confDir: config.cniConfDir,
    confName: config.cniConfName,
    plugin: {
      type: CniName.plugin,
      name: CniName.plugin,
      plugin_log_level: config.logLevel,
      cni_agent_run_dir: config.runDir,
      ambient_enabled: true,
      enablement_selectors: config.selectors,
      exclude_namespaces: config.excludedNamespaces,
      pod_namespace: config.podNamespace,
      native_nftables: config.netfilter.nativeNftables,
    },
    bundleFile: fileURLToPath(new URL('../bundle/plugin.cjs', import.meta.url)),
    nodeFile: process.execPath,
    logger: logger.scope('install'),
  });
}
