import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { KubernetesClient } from '@weft/kubernetes';
import { Reflector, resources } from '@weft/kubernetes';
import { duplicateNetworkNamespace, openNetworkNamespace } from '@weft/linux';
import { WeftError, describeError, systemClock, type Logger, type Readiness } from '@weft/telemetry';
import { runNriClient } from '../nri/nri-client.ts';
import { chooseBackend, ipv6Available, readBackendFacts } from '../rules/backend.ts';
import { BranchEniRoutes } from '../rules/branch-eni-routes.ts';
import { commandRunner, type CommandRunner } from '../rules/command.ts';
import { IptablesHostRules } from '../rules/host-iptables.ts';
import { NftHostRules } from '../rules/host-nftables.ts';
import { versionOf, type HostProbeRules } from '../rules/host-rules.ts';
import { kubeletUser } from '../rules/kubelet-user.ts';
import type { RedirectionSettings } from '../rules/pod-redirection.ts';
import { CaptureAudit } from './capture-audit.ts';
import { listeningPorts, probeIdentity, probeRedirect } from './capture-probes.ts';
import { reportCapture } from './capture-report.ts';
import type { AgentConfig } from './config.ts';
import type { AgentMetrics } from './metrics.ts';
import type { EnrolmentPolicy } from './enrolment.ts';
import { NodeAgent } from './node-agent.ts';
import { nodeEffects, redirectionOf } from './node-effects.ts';
import { enrolNriPod } from './nri-pods.ts';
import { listenForPluginLogs } from './plugin-log-server.ts';
import { listenForPlugins } from './plugin-server.ts';
import { namespaceCheck } from './pod-network-namespace.ts';
import { ZdsServer } from './zds-server.ts';

/** A pod that has just been enrolled is audited before the next round is due; so are those that come with it. */
const AFTER_ENROLMENT_MS = 1_000;

export interface CaptureRuntimeOptions {
  readonly config: AgentConfig;
  readonly client: KubernetesClient;
  /** Gates `pods` and `captured`. */
  readonly readiness: Readiness;
  readonly metrics: AgentMetrics;
  /** Whether the container runtime asks us by NRI; not called without `config.nriSocket`. */
  readonly onRuntimeConnected?: (connected: boolean) => void;
  readonly logger: Logger;
}

export interface CaptureRuntime {
  readonly backend: string;
  /** `removed`: every pod leaves the mesh and nothing stays on the node; else everything stays as it is. */
  close(removed: boolean): Promise<void>;
}

/**
 * What captures this node's pods, put together: the agent, its watches, ZDS, the plugin's socket and the audit.
 * Resolves once the plugin can ask.
 */
export async function startCapture(o: CaptureRuntimeOptions): Promise<CaptureRuntime> {
  const { config, client, readiness, metrics, logger } = o;
  const stop = new AbortController();
  const count = (error: unknown): void =>
    metrics.errors.inc({ code: WeftError.is(error) ? error.code : 'unknown' });

  const host = hostRunner(config);
  const settings = chooseSettings(config, host, logger);
  const hostRules = hostRulesOf(config, host, settings, logger);
  hostRules.install();

  const synced = { pods: deferred(), namespaces: deferred() };
  const allSynced = Promise.all([synced.pods.promise, synced.namespaces.promise]);
  const node = { procDir: config.procDir, netnsDir: config.netnsDir };
  const redirection = { ...settings, scopedLocking: config.scopedLocking };
  let onEnrolled = (): void => undefined;
  const policy: EnrolmentPolicy = {
    selectors: config.selectors,
    excludedNamespaces: new Set(config.excludedNamespaces),
    systemNamespace: config.systemNamespace,
  };
  const agent = new NodeAgent({
    policy,
    effects: nodeEffects({
      client,
      zds: () => zds,
      node,
      hostRules,
      redirection,
      ...(usesBranchRoutes(config, host, logger) ? { probeRoutes: new BranchEniRoutes(host) } : {}),
    }),
    logger,
    dnsCapture: config.dnsCapture,
    repairRules: config.repairRules,
    onReconcile: (type) => {
      metrics.reconcileEvents.inc({ type });
      if (type === 'add') onEnrolled();
    },
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
    onConnectedChange: (connected) => {
      metrics.ztunnelConnected.set(connected);
      if (connected > 0) agent.retryPending();
    },
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
  readiness.open('pods');

  const audit = new CaptureAudit({
    agent,
    probes: {
      hold: duplicateNetworkNamespace,
      namespaceCheck: () => namespaceCheck(node),
      listeningPorts,
      ruleDifferences: (netns, options) => redirectionOf(netns, redirection).differences(options),
      redirect: (netns, addresses) => probeRedirect(netns, addresses.some((a) => versionOf(a) === 4) ? 4 : 6),
      identity: probeIdentity,
      report: (pod, verdict) => reportCapture(client, config.nodeName, pod, verdict),
    },
    clock: systemClock,
    logger: logger.scope('audit'),
    graceMs: config.audit.graceMs,
    onFault: (fault) => metrics.captureFaults.inc({ fault }),
  });
  const auditRound = async (): Promise<void> => {
    try {
      if (hostRules.install() === 'written') metrics.ruleRepairs.inc();
      hostRules.retain(agent.wantedAddresses);
      agent.allowProbesAgain(
        new Set(settings.versions.flatMap((v) => hostRules.members(v).map(({ address }) => address))),
      );
      await audit.round();
    } catch (error) {
      count(error);
      logger.warn('the audit of this node was not completed', { error: describeError(error) });
    }
    metrics.uncapturedPods.set(audit.uncaptured.length);
    metrics.pendingPods.set(agent.pending.length);
    if (audit.overdue.length === 0) readiness.open('captured');
    else readiness.close('captured');
  };
  const plugin = await listenForPlugins(
    path.join(config.runDir, 'pluginevent.sock'),
    async ({ netns, podName, podNamespace, addresses }) => {
      const [pod, namespace] = await Promise.all([
        client.get(resources.pods, podName, podNamespace),
        client.get(resources.namespaces, podNamespace),
      ]);
      const namespaceFd = openNetworkNamespace(path.join(config.hostRoot, path.normalize(netns)));
      const outcome = await agent.enrolNewPod(pod, namespace, namespaceFd, addresses);
      logger.debug('plugin request', { pod: `${podNamespace}/${podName}`, outcome });
    },
    {
      logger: logger.scope('plugin'),
      onAnswer: (code) => metrics.pluginRequests.inc({ response_code: code }),
      onError: count,
    },
  );
  const pluginLogger = logger.scope('plugin');
  const pluginLog = await listenForPluginLogs(path.join(config.runDir, 'log.sock'), ({ level, msg }) => {
    if (level === 'error') pluginLogger.error(msg);
    else if (level === 'debug') pluginLogger.debug(msg);
    else pluginLogger.info(msg);
  });
  let early: NodeJS.Timeout | undefined;
  onEnrolled = () => {
    early ??= setTimeout(() => {
      early = undefined;
      void auditRound();
    }, AFTER_ENROLMENT_MS);
  };
  if (config.nriSocket !== undefined) {
    void runNriClient(
      {
        socketPath: config.nriSocket,
        onPod: (pod, signal) => enrolNriPod({ client, agent, policy, config }, pod, signal),
        onConnectedChange: (connected) => o.onRuntimeConnected?.(connected),
        onError: count,
        logger: logger.scope('nri'),
      },
      stop.signal,
    );
  }
  void auditRound();
  const timer = setInterval(() => void auditRound(), config.audit.periodMs);

  return {
    backend: settings.backend.kind === 'nftables' ? 'nftables' : settings.backend.variant,
    close: async (removed) => {
      clearInterval(timer);
      clearTimeout(early);
      stop.abort();
      await Promise.all([plugin.close(), pluginLog.close()]);
      if (removed) {
        await agent.unenrolAll();
        hostRules.remove();
      } else {
        agent.stop();
      }
      zds.close();
    },
  };
}

function chooseSettings(config: AgentConfig, host: CommandRunner, logger: Logger): RedirectionSettings {
  const { backend, others, warning } = chooseBackend(config.netfilter, readBackendFacts(host));
  if (warning !== undefined) logger.warn(warning);
  const versions = config.ipv6 && ipv6Available() ? ([4, 6] as const) : ([4] as const);
  return { backend, others, versions, probeSources: config.probeSources };
}

function hostRulesOf(
  config: AgentConfig,
  host: CommandRunner,
  settings: RedirectionSettings,
  logger: Logger,
): HostProbeRules {
  if (settings.backend.kind === 'iptables')
    return new IptablesHostRules(host, settings.backend.variant, settings);
  const user = kubeletUser(config.procDir);
  if (user === undefined) logger.warn('no kubelet among the processes of the node; taken to run as root');
  return new NftHostRules(host, settings, user ?? 0);
}

function usesBranchRoutes(config: AgentConfig, host: CommandRunner, logger: Logger): boolean {
  if (!config.awsBranchEni) return false;
  const possible = BranchEniRoutes.isPossible(host);
  if (!possible) logger.warn('routes for probes over branch interfaces need net.ipv4.tcp_early_demux=0');
  return possible;
}

/** Commands for the node's own network namespace, which a pod with the host's network is in already. */
function hostRunner(config: AgentConfig): CommandRunner {
  if (!config.switchToHostNamespace) return commandRunner();
  try {
    return commandRunner(openNetworkNamespace(`${config.procDir}/1/ns/net`), { sharedLock: true });
  } catch (error) {
    throw new WeftError('WEFT1708', `${config.procDir}/1/ns/net`, { cause: error });
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((r) => {
    resolve = r;
  });
  return { promise, resolve };
}
