import { setMaxListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger, describeError, untilShutdown } from '@weft/telemetry';
import { bootstrap } from '../cluster/bootstrap-objects.ts';
import { DnsServer } from '../dns/dns-server.ts';
import { clusterRecords } from '../dns/cluster-records.ts';
import { clusterRoleAggregationController } from './cluster-role-aggregation.ts';
import { clientOf, type ControllersConfig } from './config.ts';
import { ControllerLoop } from './controller-loop.ts';
import { daemonSetController } from './daemon-set.ts';
import { deploymentController } from './deployment.ts';
import { endpointsController } from './endpoints.ts';
import { sweepEvents } from './event-expiry.ts';
import { jobController } from './job.ts';
import { loadBalancerController } from './load-balancer.ts';
import { namespaceController } from './namespaces.ts';
import { nodeLifecycleController } from './node-lifecycle.ts';
import { replicaSetController } from './replica-set.ts';
import { schedulerController } from './scheduler.ts';
import { statefulSetController } from './stateful-set.ts';

const API_RETRY_MS = 50;

const logger = createLogger({ scope: 'controllers' });
// The supervisor wrote the file for this process.
const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ControllersConfig;
const { topology } = config;
const shutdown = new AbortController();
// One listener per reflector and per request in flight; Node's warning threshold of 10 is for leaks.
setMaxListeners(0, shutdown.signal);
void untilShutdown().then(() => shutdown.abort());

const client = clientOf(config.apiServer);
const loop = new ControllerLoop({
  client,
  controllers: [
    namespaceController(readFileSync(config.apiServer.caFile, 'utf8')),
    deploymentController,
    replicaSetController,
    daemonSetController,
    statefulSetController,
    jobController,
    schedulerController(),
    endpointsController,
    loadBalancerController(topology.loadBalancerCidr),
    nodeLifecycleController,
    clusterRoleAggregationController,
  ],
  logger,
  signal: shutdown.signal,
});

await untilBootstrapped();
const dns = new DnsServer({
  address: topology.bridge.address,
  port: 53,
  domain: topology.clusterDomain,
  records: clusterRecords(loop.view, { domain: topology.clusterDomain, podCidr: topology.podCidr }),
  logger: logger.scope('dns'),
});
await dns.listen();
await loop.start();
sweepEvents(client, logger, shutdown.signal);
logger.info('controllers started');

async function untilBootstrapped(): Promise<void> {
  for (let reported = ''; !shutdown.signal.aborted; ) {
    try {
      return await bootstrap(client, topology, shutdown.signal);
    } catch (error) {
      const why = describeError(error);
      if (why !== reported) logger.info('waiting for the API server', { error: why });
      reported = why;
      await sleep(API_RETRY_MS);
    }
  }
}

shutdown.signal.addEventListener('abort', () => {
  void dns.close().then(() => process.exit(0));
});
