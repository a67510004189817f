import { readFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { accessCluster, type ClusterOptions } from '../cluster-access.ts';
import { ztunnelLogCommand } from './ztunnel-log.ts';
import { paint, render, type OutputFormat } from '../output.ts';
import { POD_ARGUMENT } from '../pod-by-name.ts';
import { portNumber } from '../port-number.ts';
import {
  defaultAdminPort,
  fetchConfigDump,
  parseConfigDump,
  type ConfigDump,
} from '../ztunnel/config-dump.ts';
import {
  certificateTable,
  connectionTable,
  policyTable,
  serviceTable,
  workloadTable,
} from '../ztunnel/tables.ts';

interface CommonFlags {
  readonly output: OutputFormat;
  readonly node?: string;
  readonly file?: string;
  readonly proxyAdminPort: number;
}
interface View<F> {
  /** The part of the dump that is shown, filtered. */
  readonly select: (dump: ConfigDump, flags: F) => unknown;
  readonly table: (dump: ConfigDump, flags: F) => string;
}

/** `weft ztunnel-config`: what a ztunnel knows, from its `/config_dump`, in istioctl's tables. */
export function ztunnelConfigCommand(options: () => ClusterOptions): Command {
  const root = new Command('ztunnel-config').alias('zc').description('what a ztunnel knows and does');

  view<WorkloadFlags>(
    root
      .command('workload')
      .alias('workloads')
      .description('workloads, and how each is reached')
      .option('--address <ip>', 'only this address')
      .option('--workload-namespace <namespace>', 'only this namespace')
      .option('--workload-node <node>', 'only this node'),
    options,
    {
      select: (dump, flags) => selectWorkloads(dump, flags),
      table: (dump, flags) => workloadTable(selectWorkloads(dump, flags)),
    },
  );
  view<{ serviceNamespace?: string } & CommonFlags>(
    root
      .command('service')
      .alias('services')
      .description('services and their healthy endpoints')
      .option('--service-namespace <namespace>', 'only this namespace'),
    options,
    {
      select: (dump, { serviceNamespace }) => inNamespace(dump.services, serviceNamespace),
      table: (dump, { serviceNamespace }) => serviceTable(inNamespace(dump.services, serviceNamespace)),
    },
  );
  view<{ policyNamespace?: string } & CommonFlags>(
    root
      .command('policy')
      .alias('policies')
      .description('layer 4 policies')
      .option('--policy-namespace <namespace>', 'only this namespace'),
    options,
    {
      select: (dump, { policyNamespace }) => inNamespace(dump.policies, policyNamespace),
      table: (dump, { policyNamespace }) => policyTable(inNamespace(dump.policies, policyNamespace)),
    },
  );
  view<CommonFlags>(
    root
      .command('certificate')
      .alias('certificates')
      .alias('certs')
      .description('certificates of the node’s workloads'),
    options,
    {
      select: (dump) => dump.certificates,
      table: (dump) => certificateTable(dump.certificates, new Date()),
    },
  );
  view<ConnectionFlags>(
    root
      .command('connections')
      .alias('connection')
      .description('connections that are open now')
      .option('--workload-namespace <namespace>', 'only workloads of this namespace')
      .addOption(
        new Option('--direction <direction>', 'only this direction').choices(['inbound', 'outbound']),
      )
      .option('--raw', 'addresses instead of names'),
    options,
    {
      select: (dump, { workloadNamespace }) =>
        Object.values(dump.workloadState).filter(
          (s) => workloadNamespace === undefined || s.info?.namespace === workloadNamespace,
        ),
      table: (dump, { workloadNamespace, direction, raw = false }) =>
        connectionTable(dump, {
          raw,
          ...(workloadNamespace === undefined ? {} : { workloadNamespace }),
          ...(direction === undefined ? {} : { direction }),
        }),
    },
  );
  root.addCommand(ztunnelLogCommand(options));
  view<CommonFlags>(root.command('all').description('everything'), options, {
    select: (dump) => dump,
    table: (dump) =>
      [
        workloadTable(dump.workloads),
        serviceTable(dump.services),
        policyTable(dump.policies),
        certificateTable(dump.certificates, new Date()),
        connectionTable(dump, { raw: false }),
      ].join('\n'),
  });
  return root;
}

interface WorkloadFlags extends CommonFlags {
  readonly address?: string;
  readonly workloadNamespace?: string;
  readonly workloadNode?: string;
}
interface ConnectionFlags extends CommonFlags {
  readonly workloadNamespace?: string;
  readonly direction?: 'inbound' | 'outbound';
  readonly raw?: boolean;
}

function selectWorkloads(dump: ConfigDump, flags: WorkloadFlags): ConfigDump['workloads'] {
  return inNamespace(dump.workloads, flags.workloadNamespace).filter(
    (w) =>
      (flags.address === undefined || w.workloadIps?.includes(flags.address) === true) &&
      (flags.workloadNode === undefined || w.node === flags.workloadNode),
  );
}

function inNamespace<T extends { readonly namespace: string }>(
  items: readonly T[],
  namespace: string | undefined,
): readonly T[] {
  return items.filter((item) => namespace === undefined || item.namespace === namespace);
}

function view<F extends CommonFlags>(
  command: Command,
  options: () => ClusterOptions,
  { select, table }: View<F>,
): void {
  command
    .argument('[workload]', `a ztunnel pod, or any pod: then the ztunnel of its node; ${POD_ARGUMENT}`)
    .addOption(
      new Option('-o, --output <format>', 'output format')
        .choices(['short', 'json', 'yaml'])
        .default('short'),
    )
    .option('--node <node>', 'the ztunnel of this node')
    .option('-f, --file <file>', 'a saved /config_dump instead of a cluster')
    .option('--proxy-admin-port <port>', 'administration port of ztunnel', portNumber, defaultAdminPort)
    .action(async (workload: string | undefined, flags: F) => {
      const { dump, pod } =
        flags.file === undefined
          ? await fetchConfigDump(await accessCluster(options()), {
              adminPort: flags.proxyAdminPort,
              ...(workload === undefined ? {} : { workload }),
              ...(flags.node === undefined ? {} : { node: flags.node }),
            })
          : { dump: parseConfigDump(await readFile(flags.file, 'utf8'), flags.file), pod: undefined };
      // What a ztunnel knows is the same everywhere, what it does is not: say whose this is when nobody asked.
      if (
        pod !== undefined &&
        workload === undefined &&
        flags.node === undefined &&
        flags.output === 'short'
      ) {
        const whose = `${pod.metadata.name} on ${pod.spec?.nodeName}; --node or the name of a pod asks another`;
        process.stderr.write(`${paint('dim', whose, process.stderr)}\n`);
      }
      process.stdout.write(
        flags.output === 'short' ? table(dump, flags) : render(select(dump, flags), flags.output),
      );
    });
}
