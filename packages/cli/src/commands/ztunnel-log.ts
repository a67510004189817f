import { Command } from 'commander';
import { accessCluster, type ClusterOptions } from '../cluster-access.ts';
import { POD_ARGUMENT } from '../pod-by-name.ts';
import { portNumber } from '../port-number.ts';
import { fetchFromPod } from '../proxy/fetch.ts';
import { defaultAdminPort, findZtunnels } from '../ztunnel/config-dump.ts';

interface LogFlags {
  readonly level?: string;
  readonly reset?: boolean;
  readonly node?: string;
  readonly proxyAdminPort: number;
}

/** `weft ztunnel-config log`: of every ztunnel unless one is named, since trouble rarely says on which node it is. */
export function ztunnelLogCommand(options: () => ClusterOptions): Command {
  return new Command('log')
    .description('show or change log levels: of all ztunnels, or of one')
    .argument('[workload]', `a ztunnel pod, or any pod: then the ztunnel of its node; ${POD_ARGUMENT}`)
    .option('--level <level>', 'off, error, warn, info, debug or trace; or scope:level; several by comma')
    .option('-r, --reset', 'back to the levels that it was started with')
    .option('--node <node>', 'the ztunnel of this node')
    .option('--proxy-admin-port <port>', 'administration port of ztunnel', portNumber, defaultAdminPort)
    .action(async (workload: string | undefined, flags: LogFlags) => {
      const access = await accessCluster(options());
      const pods = await findZtunnels(access, {
        ...(workload === undefined ? {} : { workload }),
        ...(flags.node === undefined ? {} : { node: flags.node }),
      });
      const request = { path: loggingPath(flags), port: flags.proxyAdminPort, method: 'POST' } as const;
      for (const pod of pods) {
        const { name, namespace } = pod.metadata;
        const answer = await fetchFromPod(access, pod, request);
        process.stdout.write(`${name}.${namespace}: ${answer}`);
      }
    });
}

/** istioctl's `scope:level` is `scope=level` to a ztunnel. A scope may have `::` in it. */
export function loggingPath({ level, reset }: Pick<LogFlags, 'level' | 'reset'>): string {
  const query = new URLSearchParams();
  if (reset === true) query.set('reset', '');
  if (level !== undefined)
    query.set(
      'level',
      level
        .split(',')
        .map((part) => part.replace(/(?<!:):([^:]+)$/, '=$1'))
        .join(','),
    );
  return query.size === 0 ? '/logging' : `/logging?${query.toString()}`;
}
