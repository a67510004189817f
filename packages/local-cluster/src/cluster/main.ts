import { randomBytes } from 'node:crypto';
import { createLogger, describeError, untilShutdown, WeftError } from '@weft/telemetry';
import { planProcesses } from './process-plans.ts';
import { readJson, StateDirectory, type ClusterRecord } from './state-directory.ts';
import { Supervisor } from './supervisor.ts';

const logger = createLogger({ scope: 'supervisor' });

try {
  const state = new StateDirectory(process.argv[2] ?? '');
  const cluster = await readJson<ClusterRecord>(state.clusterFile);
  if (cluster === undefined) throw new WeftError('WEFT2006', `${state.clusterFile} is missing`);
  const plans = await planProcesses(state, cluster, randomBytes(24).toString('base64url'));
  const supervisor = new Supervisor(state, cluster, plans, logger);
  const shutdown = untilShutdown();
  await supervisor.start();
  logger.info('cluster started', { nodes: cluster.topology.nodes.length, port: cluster.port });
  logger.info('stopping', { signal: await shutdown });
  await supervisor.stop();
  process.exit(0);
} catch (error) {
  logger.error(describeError(error));
  process.exitCode = 1;
  // Ending this process ends the PID namespace, and every half-made part with it.
  setTimeout(() => process.exit(1), 50);
}
