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
  untilShutdown,
  type Logger,
} from '@weft/telemetry';
import { ConfigInstaller } from '../install/config-installer.ts';
import { Installation, type InstallationOptions } from '../install/installation.ts';
import { KubeconfigFile } from '../install/kubeconfig-file.ts';
import {
  installProgram,
  librariesOfThisProcess,
  nodeHasShell,
  removeProgram,
  type PluginProgram,
} from '../install/program.ts';
import { startCapture } from './capture-runtime.ts';
import { loadConfig, type AgentConfig } from './config.ts';
import { createAgentMetrics } from './metrics.ts';
import { isRemoved, type OwnDaemonSet } from './removal.ts';

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
  const installed = (isInstalled: boolean): void => {
    metrics.installReady.set(isInstalled ? 1 : 0);
    if (isInstalled) readiness.open('install');
    else readiness.close('install');
  };
  const installation = installationOf(config, client, logger.scope('install'), (state) => {
    if (state === 'written') metrics.installs.inc({ result: 'SUCCESS' });
    if (state === 'failed') metrics.installs.inc({ result: 'FAILURE' });
    installed(state === 'written' || state === 'unchanged');
  });
  const uninstall = (): void => {
    installation.remove();
    removeProgram(config.cniBinDir);
  };
  const capture = await startCapture({
    config,
    client,
    readiness,
    metrics,
    onRuntimeConnected: (connected) => {
      installed(connected);
      if (!connected) return;
      try {
        uninstall(); // what an agent without NRI has left
      } catch (error) {
        logger.warn('the CNI plugin of an earlier agent stays', { error: describeError(error) });
      }
    },
    logger,
  });
  if (config.nriSocket === undefined) {
    installProgram(config.cniBinDir, pluginProgram(), { hasShell: nodeHasShell(config.procDir) });
    installation.start();
  }

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
  installation.close();
  stop.abort();
  if (removed) uninstall();
  await capture.close(removed);
  await Promise.all([health.close(), monitoring.close()]);
}

function pluginProgram(): PluginProgram {
  return {
    bundleFile: fileURLToPath(new URL('../bundle/plugin.cjs', import.meta.url)),
    executableFile: fileURLToPath(new URL('../bundle/istio-cni', import.meta.url)),
    nodeFile: process.execPath,
    libraryFiles: librariesOfThisProcess(),
  };
}

function installationOf(
  config: AgentConfig,
  client: KubernetesClient,
  logger: Logger,
  onState: InstallationOptions['onState'],
): Installation {
  return new Installation({
    confDir: config.cniConfDir,
    config: new ConfigInstaller({
      ...config.cniConfig,
      confDir: config.cniConfDir,
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
      logger,
    }),
    kubeconfig: new KubeconfigFile({
      path: path.join(config.runDir, 'istio-cni-kubeconfig'),
      server: client.connection.server,
      serviceAccountDir: SERVICE_ACCOUNT_DIR,
    }),
    logger,
    onState,
  });
}
