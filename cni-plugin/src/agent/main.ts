import { mkdirSync, watch } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CniName, Component } from '@weft/api';
import {
  KubernetesClient,
  Reflector,
  SERVICE_ACCOUNT_DIR,
  apiErrorStatus,
  inClusterConnection,
  resources,
} from '@weft/kubernetes';
import { openNetworkNamespace, raiseFileLimit } from '@weft/linux';
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
import { commandRunner, type CommandRunner } from '../rules/command.ts';
import { HostProbeRules } from '../rules/host-rules.ts';
import { detectVariant, ipv6Available } from '../rules/iptables.ts';
import { loadConfig, type AgentConfig } from './config.ts';
import { createAgentMetrics } from './metrics.ts';
import { NodeAgent } from './node-agent.ts';
import { nodeEffects } from './node-effects.ts';
import { PluginServer } from './plugin-server.ts';
import { ZdsServer } from './zds-server.ts';

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
  const readiness = new Readiness(['install', 'pods']);
  const metrics = createAgentMetrics();
  const count = (error: unknown): void =>
    metrics.errors.inc({ code: WeftError.is(error) ? error.code : 'unknown' });
  const client = new KubernetesClient(inClusterConnection());
  const stop = new AbortController();

  const host = hostRunner(config);
  const variant = config.iptables ?? detectVariant(host);
  const versions = config.ipv6 && ipv6Available() ? ([4, 6] as const) : ([4] as const);
  const hostRules = new HostProbeRules(host, variant, versions);
  hostRules.install();

  const synced = { pods: deferred(), namespaces: deferred() };
  const allSynced = Promise.all([synced.pods.promise, synced.namespaces.promise]);
  const effects = nodeEffects({
    client,
    zds: () => zds,
    node: { procDir: config.procDir, netnsDir: config.netnsDir },
    hostRules,
    variant,
    versions,
  });
  const policy = {
    selectors: config.selectors,
    excludedNamespaces: new Set(config.excludedNamespaces),
    systemNamespace: config.podNamespace,
  };
  const agent = new NodeAgent({
    policy,
    effects,
    logger,
    repairRules: config.repairRules,
    onReconcile: (type) => metrics.reconcileEvents.inc({ type }),
    onError: count,
  });
  mkdirSync(path.dirname(config.zdsSocket), { recursive: true });
  const zds = new ZdsServer({
    path: config.zdsSocket,
    snapshot: async () => {
      await allSynced;
      return agent.snapshot();
    },
    onSnapshotResult: (uid, error) => agent.snapshotResult(uid, error),
    onConnectedChange: (connected) => metrics.ztunnelConnected.set(connected),
    onError: count,
    logger: logger.scope('zds'),
  });

  new Reflector({
    client,
    type: resources.namespaces,
    onChange: (changes) => {
      for (const { kind, key, object } of changes)
        void agent.namespaceChanged(key, kind === 'upsert' ? object : undefined);
    },
    onSynced: () => synced.namespaces.resolve(),
    signal: stop.signal,
    logger,
  });
  await synced.namespaces.promise;
  // Enrolment depends on the namespaces' labels, so pods come second.
  new Reflector({
    client,
    type: resources.pods,
    fieldSelector: `spec.nodeName=${config.nodeName}`,
    onChange: (changes) => {
      for (const { kind, object } of changes) {
        void agent.podChanged(object.metadata.uid ?? '', kind === 'upsert' ? object : undefined);
      }
    },
    onSynced: () => synced.pods.resolve(),
    signal: stop.signal,
    logger,
  });
  await synced.pods.promise;
  hostRules.retain(agent.wantedAddresses);
  readiness.open('pods');

  const plugin = await PluginServer.listen(
    path.join(config.runDir, 'pluginevent.sock'),
    async ({ netns, podName, podNamespace, addresses }) => {
      const [pod, namespace] = await Promise.all([
        client.get(resources.pods, podName, podNamespace),
        client.get(resources.namespaces, podNamespace),
      ]);
      const namespaceFd = openNetworkNamespace(hostPath(netns));
      const outcome = await agent.enrolNewPod(pod, namespace, namespaceFd, addresses);
      logger.debug('plugin request', { pod: `${podNamespace}/${podName}`, outcome });
    },
    {
      logger: logger.scope('plugin'),
      onAnswer: (code) => metrics.pluginRequests.inc({ response_code: code }),
      onError: count,
    },
  );

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
    metrics.pendingPods.set(agent.pending.length);
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
  logger.info('node agent is up', {
    node: config.nodeName,
    iptables: variant,
    ipVersions: versions.join(','),
  });

  const signal = await untilShutdown();
  const removed = await isRemoved(client, config.podNamespace);
  logger.info('node agent ends', { signal, removed });
  clearInterval(timer);
  watcher.close();
  stop.abort();
  await plugin.close();
  if (removed) {
    installer.remove();
    await agent.unenrolAll();
    hostRules.remove();
  } else {
    agent.stop();
  }
  zds.close();
  await Promise.all([health.close(), monitoring.close()]);
}

/**
 * Whether the agent was removed for good. An agent that is gone or may no longer ask was uninstalled; one whose
 * DaemonSet is there is upgraded or its node restarts, and then everything stays, so that no pod starts unmeshed.
 */
async function isRemoved(client: KubernetesClient, namespace: string): Promise<boolean> {
  try {
    const own = await client.get(resources.daemonSets, Component.cni, namespace, {
      signal: AbortSignal.timeout(3_000),
    });
    return own.metadata.deletionTimestamp !== undefined;
  } catch (error) {
    const status = apiErrorStatus(error);
    return status === 401 || status === 403 || status === 404;
  }
}

/** Commands for the node's own network namespace, which a pod with the host's network is in already. */
function hostRunner(config: AgentConfig): CommandRunner {
  if (!config.switchToHostNamespace) return commandRunner();
  try {
    return commandRunner(openNetworkNamespace(`${config.procDir}/1/ns/net`));
  } catch (error) {
    throw new WeftError('WEFT1708', `${config.procDir}/1/ns/net`, { cause: error });
  }
}

/** The plugin names paths of the node, which is mounted under /host here. */
function hostPath(netns: string): string {
  return path.join('/host', path.normalize(netns));
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
      native_nftables: false,
    },
    bundleFile: fileURLToPath(new URL('../bundle/plugin.cjs', import.meta.url)),
    nodeFile: process.execPath,
    logger: logger.scope('install'),
  });
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((r) => {
    resolve = r;
  });
  return { promise, resolve };
}
