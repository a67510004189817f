import { parseBootstrap, prometheusText, Proxy } from '@weft/proxy';
import { createLogger, isLogLevel, LogLevels, Readiness, type LogSink } from '@weft/telemetry';
import { AdsClient } from '@weft/xds';
import { bootstrap, SDS_CLUSTER } from './bootstrap.ts';
import type { Config } from './config.ts';
import { controlPlaneAccess } from './control-plane.ts';
import { openEndpoints } from './endpoints.ts';
import { IdentityServer } from './identity.ts';
import { ownAdmin } from './own-admin.ts';
import { VERSION } from './version.ts';
import { WorkloadAddresses } from './workload-directory.ts';

export interface WaypointOptions {
  readonly config: Config;
  readonly sink: LogSink;
  /** Aborted to drain and stop. */
  readonly signal: AbortSignal;
  readonly quit: () => void;
}

const Gate = { identity: 'certificate', proxy: 'configuration' } as const;

/** Runs the waypoint until the signal; resolves when it has drained. Rejects when it can't go on. */
export async function runWaypoint({ config, sink, signal, quit }: WaypointOptions): Promise<void> {
  const levels = new LogLevels(isLogLevel(config.logLevel) ? config.logLevel : 'info');
  const logger = createLogger({ scope: 'waypoint', format: config.logFormat, levels, sink });
  logger.info('starting', {
    version: VERSION,
    identity: config.identity,
    discovery: config.discoveryAddress,
  });
  const readiness = new Readiness(Object.values(Gate));
  const identity = new IdentityServer({
    config,
    logger: logger.scope('ca'),
    onFirst: () => readiness.open(Gate.identity),
  });
  const access = controlPlaneAccess(config);
  const workloads = new WorkloadAddresses(config.network);
  const proxy = new Proxy({
    bootstrap: parseBootstrap(bootstrap(config)),
    embedding: {
      ads: access,
      secretServers: new Map([[SDS_CLUSTER, identity]]),
      workloads,
      isForbidden: ownAdmin(config.ports.admin),
    },
    logger: logger.scope('proxy'),
    logLevels: levels,
    ...(config.listenerDrainMs === undefined ? {} : { drainTimeMs: config.listenerDrainMs }),
    version: VERSION,
    onQuit: quit,
  });
  const endpoints = await openEndpoints({
    ports: config.ports,
    readiness,
    metrics: () => prometheusText(proxy.stats.all()),
  });
  // What it serves stays in force while it drains, so its sources do, too.
  const stopped = new AbortController();
  identity.start();
  const directory = new AdsClient({
    ...access,
    protocol: 'delta',
    consumers: [workloads],
    signal: stopped.signal,
    logger: logger.scope('workloads'),
  });
  workloads.follow((names) => directory.setNames(workloads.typeUrl, names));
  try {
    await proxy.start();
    const stop = aborted(signal);
    await Promise.race([proxy.live, stop]);
    if (!signal.aborted) {
      readiness.open(Gate.proxy);
      logger.info('configured by the control plane');
    }
    await stop;
    const { minimumDrainMs, drainDurationMs } = config;
    logger.info('stopping', { servesOnForMs: minimumDrainMs, drainsForMs: drainDurationMs });
    readiness.close('stopping');
    await new Promise((resolve) => setTimeout(resolve, minimumDrainMs));
    await proxy.drainFor(drainDurationMs);
  } finally {
    stopped.abort();
    await proxy.close();
    await directory.done;
    identity.close();
    await endpoints.close();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
