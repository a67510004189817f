import { connectSeqpacket, raiseFileLimit } from '@weft/linux';
import { CertificateSource } from '@weft/spiffe';
import {
  cpuProfile,
  createLogger,
  createMetricsRegistry,
  describeError,
  LogLevels,
  Readiness,
  systemClock,
  WeftError,
  type LogSink,
} from '@weft/telemetry';
import { Demand } from '@weft/xds';
import { configDump } from './admin/config-dump.ts';
import { openEndpoints } from './admin/endpoints.ts';
import { listConnections } from './admin/connection-list.ts';
import { applyLogFilter } from './admin/logging.ts';
import type { Config } from './config.ts';
import { caClient } from './control/ca-client.ts';
import { NodeCertificates } from './control/certificates.ts';
import { ConnectionController } from './control/connection-controller.ts';
import { ConnectionTable } from './control/connection-table.ts';
import { DataMessages } from './control/data-messages.ts';
import { DataThreads } from './control/data-threads.ts';
import { startMeshClient } from './control/mesh-client.ts';
import { DEDICATED, PodRegistry } from './control/pod-registry.ts';
import { PolicyGate } from './control/policy-gate.ts';
import { RevocationFile } from './control/revocation-file.ts';
import { OnDemandDnsMetric } from './dns/dns-metrics.ts';
import { dnsProxies } from './dns/dns-proxies.ts';
import { HostnameResolver, nameserverLookup } from './dns/hostname-resolver.ts';
import { chooseEngine } from './engine-choice.ts';
import type { Failure } from './data/messages.ts';
import { PodManager } from './inpod/pod-manager.ts';
import { runZdsClient } from './inpod/zds-client.ts';
import { checkPrivileges } from './startup-check.ts';
import { applyLocalState } from './state/local-state.ts';
import { MeshState } from './state/mesh-state.ts';
import { AccessLog } from './telemetry/access-log.ts';
import { ZtunnelMetrics } from './telemetry/metrics.ts';

export interface AppOptions {
  readonly config: Config;
  readonly version: string;
  readonly sink: LogSink;
  /** Aborted to drain and stop. */
  readonly signal: AbortSignal;
  readonly quit: () => void;
}

/** How often a ztunnel without a control plane says that it waits. */
const WAIT_REMINDER_MS = 5_000;

const Gate = { xds: 'state manager', proxy: 'proxy', zds: 'workload proxy manager' } as const;

/** Runs the proxy until the signal; resolves when it has drained. Rejects when it can't go on. */
export async function runZtunnel({ config, version, sink, signal, quit }: AppOptions): Promise<void> {
  const levels = new LogLevels();
  const filterProblem = applyLogFilter(levels, config.logFilter);
  if (filterProblem !== undefined) throw new WeftError('WEFT1001', `RUST_LOG: ${filterProblem}`);
  const logger = createLogger({ scope: 'ztunnel', format: config.logFormat, levels, sink });
  const { mode } = config;
  const isShared = mode.kind === 'shared';
  checkPrivileges(config.sockets, mode);
  logger.info('starting', {
    version,
    node: config.nodeName,
    fileLimit: raiseFileLimit(),
    dataThreads: config.dataThreads,
  });

  const state = new MeshState();
  const { localState } = config;
  if (localState !== undefined) applyLocalState(state, localState.source, localState.text);
  const demand = config.xdsOnDemand ? new Demand() : undefined;
  const registry = createMetricsRegistry();
  const { istioVersion } = config;
  const metrics = new ZtunnelMetrics(registry, { istioVersion, pods: () => pods });
  const readiness = new Readiness([Gate.xds, Gate.proxy, ...(isShared ? [Gate.zds] : [])]);
  const access = new AccessLog(logger.scope('access'));
  const connections = new ConnectionTable(metrics, access);
  const count = (error: WeftError): void => metrics.errors.inc({ code: error.code });

  const certificateSource = new CertificateSource({ client: caClient(config), logger: logger.scope('ca') });
  const certificates = new NodeCertificates(certificateSource, state, isShared ? config.nodeName : undefined);

  const threads = new DataThreads({
    count: config.dataThreads,
    settings: { sockets: config.sockets, tunnels: config.tunnels },
    engine: await chooseEngine(config.engine, logger),
    onEngineGivenUp: (error) => {
      count(error);
      logger.error(describeError(error), { code: error.code });
    },
    onMessage: (message, reply) => messages.onMessage(message, reply),
    onThreadLost: (error, isOfThread) => {
      logger.error(describeError(error), { code: error.code });
      connections.lost(isOfThread, { code: 'WEFT1340', message: error.message, flag: 'CONNECT' });
    },
    onPodLost: (error) => {
      count(error);
      logger.error(describeError(error), { code: error.code });
    },
  });
  const revocations =
    config.crlPath === undefined
      ? undefined
      : new RevocationFile({
          path: config.crlPath,
          clock: systemClock,
          logger: logger.scope('crl'),
          onChange: (bytes) => threads.revoke(bytes),
          onError: count,
        });
  const dns = dnsProxies(config, {
    store: state.workloads,
    workloadOf: (podUid) => controller.localWorkload(podUid),
    registry,
    logger: logger.scope('dns'),
    onError: count,
  });
  const podRegistry = new PodRegistry(threads, config, dns);
  const gate = new PolicyGate({
    state,
    connections,
    logger: logger.scope('rbac'),
    logAtInfo: config.policyInfoLogging,
    unknownPolicy: config.unknownPolicy,
    cut: ({ id }, why) => threads.cut(id, why),
  });
  const hostnames = new HostnameResolver({
    lookup: nameserverLookup(),
    ipv6: config.sockets.ipv6,
    clock: systemClock,
  });
  const controller = new ConnectionController({
    ...config,
    state,
    podOf: (uid) => podRegistry.podOf(uid),
    podUidOf: (pod) => (config.sameNodeRelay ? podRegistry.uidOf(pod) : undefined),
    connections,
    gate,
    metrics,
    hostnames,
    onDemandDns: new OnDemandDnsMetric(registry),
    demand,
    log: access,
    order: (connection, order) => threads.order(connection, order),
  });

  const messages = new DataMessages({
    controller,
    connections,
    certificates,
    names: { ...config, store: state.workloads, hostnames },
    access,
    metrics,
  });

  const zdsLogger = logger.scope('inpod');
  const pods = new PodManager({
    proxies: {
      start: (pod, { fd }) => podRegistry.start(pod.uid, pod, fd),
      stop: (uid) => podRegistry.stop(uid),
    },
    logger: zdsLogger,
    onChange: () => (pods.ready ? readiness.open(Gate.zds) : readiness.close(Gate.zds)),
  });

  const dump = (): Readonly<Record<string, unknown>> =>
    configDump({
      state,
      config,
      version,
      istioVersion,
      certificates: certificateSource.states(),
      pods: pods.all(),
      connections: connections.all(),
    });
  const endpoints = await openEndpoints({
    ports: config.ports,
    admin: {
      configDump: dump,
      connections: () => listConnections(connections.all()),
      levels,
      logFilter: config.logFilter,
      takeProfile: (thread, options) => {
        const index = /^data-(\d{1,4})$/.exec(thread)?.[1];
        if (index !== undefined) return threads.profile(Number(index), options);
        return thread === 'control' ? cpuProfile(options) : undefined;
      },
      quit,
    },
    registry,
    readiness,
  });
  if (isShared) readiness.open(Gate.proxy);

  // Everything below ends with this: the signal, or the first part that can't go on.
  const end = new AbortController();
  let fatal: unknown;
  const fail = (error: unknown): void => {
    fatal ??= error;
    end.abort();
  };
  signal.addEventListener('abort', () => end.abort(), { once: true });
  if (signal.aborted) end.abort();

  const onSynced = async (): Promise<void> => {
    readiness.open(Gate.xds);
    if (mode.kind === 'dedicated') {
      await podRegistry.start(DEDICATED, mode.pod, undefined);
      return readiness.open(Gate.proxy);
    }
    const { podName, podNamespace, serviceAccount, zdsSocket } = config;
    if (config.proxyEnabled && podName !== '' && podNamespace !== '' && serviceAccount !== '') {
      await podRegistry
        .startSelf({ name: podName, namespace: podNamespace, serviceAccount })
        .catch((error: unknown) => {
          const failure = new WeftError('WEFT1330', 'the own pod', { cause: error });
          count(failure);
          logger.error(describeError(failure), { code: failure.code });
        });
    }
    const connect = (): ReturnType<typeof connectSeqpacket> => connectSeqpacket(zdsSocket);
    await runZdsClient({ pods, connect, logger: zdsLogger, signal: end.signal, onError: count });
  };
  // Policy holds for connections that are ending, too.
  const drained = new AbortController();
  const { address } = config.xds;
  const noControlPlane = (sentence: string, reason?: string): void => {
    count(new WeftError('WEFT1342', address ?? ''));
    logger.warn(sentence, { address, reason, code: 'WEFT1342' });
  };
  const reminder = setInterval(
    () => noControlPlane('still waiting for the control plane: not ready until it answers'),
    WAIT_REMINDER_MS,
  );
  const synced = (): void => {
    clearInterval(reminder);
    void onSynced().catch(fail);
  };
  if (address === undefined) {
    logger.info('no control plane: what is known is local', {
      localState: localState?.source,
      ...state.workloads.sizes,
    });
    synced();
  } else logger.info('waiting for the control plane', { address });
  const mesh =
    address === undefined
      ? undefined
      : startMeshClient({
          config,
          address,
          state,
          demand,
          metrics,
          logger: logger.scope('xds'),
          signal: drained.signal,
          onReady: () => {
            logger.info('synced with the control plane', state.workloads.sizes);
            synced();
          },
          onConnection: (connected, reason) => {
            if (connected) return logger.info('connected to the control plane', { address });
            if (drained.signal.aborted) return;
            noControlPlane('no connection to the control plane', reason);
          },
        });

  await new Promise<void>((resolve) => {
    if (end.signal.aborted) resolve();
    else end.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  clearInterval(reminder);
  if (fatal === undefined)
    await drain(threads, config.drainDeadlineMs, (told) => logger.info(told), connections);
  else logger.error(describeError(fatal));
  drained.abort();
  await mesh?.done;
  gate.close();
  revocations?.close();
  certificates.close();
  certificateSource.close();
  await pods.stopAll();
  await threads.stop();
  await endpoints.close();
  if (fatal !== undefined) throw fatal;
}

async function drain(
  threads: DataThreads,
  deadlineMs: number,
  tell: (told: string) => void,
  connections: ConnectionTable,
): Promise<void> {
  tell('draining');
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), deadlineMs);
  });
  const outcome = await Promise.race([threads.drain(), deadline]);
  clearTimeout(timer);
  if (outcome !== 'late') return tell('drained');
  const failure: Failure = {
    code: 'WEFT1341',
    message: `cut after ${deadlineMs} ms of draining`,
    flag: 'CONNECT',
  };
  connections.lost(() => true, failure);
}
