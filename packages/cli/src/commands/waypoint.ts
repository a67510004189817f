import { Command, InvalidArgumentError, Option } from 'commander';
import { Label } from '@weft/api';
import { isNotFound } from '@weft/kubernetes';
import { WeftError, parseDurationMs } from '@weft/telemetry';
import { accessCluster, type ClusterAccess, type ClusterOptions } from '../cluster-access.ts';
import { paint, render, table, type OutputFormat } from '../output.ts';
import { checkEnrolment, enrollNamespace } from '../waypoint/enroll.ts';
import {
  DEFAULT_WAYPOINT,
  conditionOf,
  gateways,
  isWaypoint,
  programmed,
  revisionOf,
  trafficTypeOf,
  trafficTypes,
  waypointGateway,
  type TrafficType,
  type WaypointGateway,
} from '../waypoint/gateway.ts';
import { untilProgrammed } from '../waypoint/wait.ts';

const FIELD_MANAGER = 'istioctl';
const DEFAULT_TIMEOUT = '90s';

interface MakeFlags {
  readonly name: string;
  readonly for?: TrafficType;
  readonly revision?: string;
}
interface ApplyFlags extends MakeFlags {
  readonly enrollNamespace?: boolean;
  readonly overwrite?: boolean;
  readonly wait?: boolean;
  readonly waypointTimeout: number;
}

/** `weft waypoint`: the layer 7 proxies of a namespace. */
export function waypointCommand(options: () => ClusterOptions): Command {
  const root = new Command('waypoint').description('layer 7 proxies of the mesh');
  makes(root.command('generate').description('print the Gateway that stands for a waypoint')).action(
    (flags: MakeFlags) => {
      const gateway = waypointGateway({
        name: flags.name,
        namespace: options().namespace,
        trafficType: flags.for,
        revision: flags.revision,
      });
      process.stdout.write(render(gateway, 'yaml'));
    },
  );
  waits(makes(root.command('apply').description('make a waypoint')), false)
    .option('--enroll-namespace', 'let the services of the namespace use it')
    .option('--overwrite', 'with --enroll-namespace: also when the namespace uses another waypoint')
    .action((flags: ApplyFlags) => apply(options(), flags));
  root
    .command('delete')
    .description('delete waypoints')
    .argument('[names...]', 'the waypoints')
    .option('--all', 'all waypoints of the namespace')
    .option('-r, --revision <revision>', 'all waypoints of this revision')
    .action((names: readonly string[], flags: DeleteFlags) => remove(options(), names, flags));
  root
    .command('list')
    .description('list waypoints')
    .option('-A, --all-namespaces', 'of all namespaces')
    .addOption(
      new Option('-o, --output <format>', 'output format; json and yaml are the Gateways')
        .choices(['short', 'json', 'yaml'])
        .default('short'),
    )
    .action((flags: ListFlags & { readonly output: OutputFormat }) => list(options(), flags));
  waits(root.command('status').description('show whether a waypoint is ready, and why not'), true)
    .argument('[name]', 'the waypoint; without it, all of the namespace')
    .option('-A, --all-namespaces', 'of all namespaces')
    .action((name: string | undefined, flags: StatusFlags) => status(options(), name, flags));
  return root;
}

function makes(command: Command): Command {
  return command
    .option('--name <name>', 'name of the waypoint', DEFAULT_WAYPOINT)
    .addOption(new Option('--for <traffic>', 'which traffic it takes').choices(trafficTypes))
    .option('-r, --revision <revision>', 'control plane revision that runs it');
}

function waits(command: Command, byDefault: boolean): Command {
  const wait = new Option('-w, --wait', 'wait until it is ready').default(byDefault);
  const timeout = new Option('--waypoint-timeout <duration>', 'how long to wait')
    .default(parseDurationMs(DEFAULT_TIMEOUT), DEFAULT_TIMEOUT)
    .argParser(durationMs);
  command.addOption(wait).addOption(timeout);
  return byDefault ? command.option('--no-wait', 'do not wait') : command;
}

function durationMs(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === undefined) throw new InvalidArgumentError('expected a duration such as 90s or 2m');
  return ms;
}

async function apply(options: ClusterOptions, flags: ApplyFlags): Promise<void> {
  const { client, namespace } = await accessCluster(options);
  const { name } = flags;
  const gateway = waypointGateway({ name, namespace, trafficType: flags.for, revision: flags.revision });
  // Refused before anything is made, if it is refused.
  const enroll = { namespace, waypoint: name, overwrite: flags.overwrite === true };
  if (flags.enrollNamespace === true) await checkEnrolment(client, enroll);
  await client.apply(gateways, gateway, { fieldManager: FIELD_MANAGER, force: true });
  process.stdout.write(`✅ waypoint ${namespace}/${name} applied\n`);
  if (flags.wait === true) {
    await untilProgrammed(client, { name, namespace }, flags.waypointTimeout);
    process.stdout.write(`✅ waypoint ${namespace}/${name} is ready!\n`);
  }
  if (flags.enrollNamespace !== true) return;
  const warning = await enrollNamespace(client, enroll);
  if (warning !== undefined)
    process.stderr.write(`${paint('yellow', 'Warning:', process.stderr)} ${warning}\n`);
  process.stdout.write(`✅ namespace ${namespace} labeled with "${Label.useWaypoint}: ${name}"\n`);
}

interface DeleteFlags {
  readonly all?: boolean;
  readonly revision?: string;
}

async function remove(options: ClusterOptions, names: readonly string[], flags: DeleteFlags): Promise<void> {
  if (names.length > 0 === (flags.all === true || flags.revision !== undefined))
    throw new WeftError('WEFT1909', 'give names, or --all, or --revision');
  const { client, namespace } = await accessCluster(options);
  let chosen = names;
  if (names.length === 0) {
    const { items } = await client.list(gateways, { namespace });
    chosen = items
      .filter(isWaypoint)
      .filter((gateway) => flags.revision === undefined || revisionOf(gateway) === flags.revision)
      .map(({ metadata }) => metadata.name ?? '');
  }
  if (chosen.length === 0) process.stdout.write(`No waypoints found in namespace ${namespace}\n`);
  for (const name of chosen) {
    try {
      await client.delete(gateways, name, namespace);
      process.stdout.write(`waypoint ${namespace}/${name} deleted\n`);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      process.stderr.write(`waypoint ${namespace}/${name} not found\n`);
      process.exitCode = 1;
    }
  }
}

interface ListFlags {
  readonly allNamespaces?: boolean;
}

async function waypoints(access: ClusterAccess, flags: ListFlags): Promise<readonly WaypointGateway[]> {
  const { items } = await access.client.list(
    gateways,
    flags.allNamespaces === true ? {} : { namespace: access.namespace },
  );
  const key = ({ metadata }: WaypointGateway): string => `${metadata.namespace}/${metadata.name}`;
  return items.filter(isWaypoint).sort((a, b) => key(a).localeCompare(key(b)));
}

async function list(
  options: ClusterOptions,
  flags: ListFlags & { readonly output: OutputFormat },
): Promise<void> {
  const access = await accessCluster(options);
  const found = await waypoints(access, flags);
  if (flags.output !== 'short') return void process.stdout.write(render(found, flags.output));
  if (found.length === 0) return nothingFound(access, flags);
  const namespaced = flags.allNamespaces === true;
  const columns = ['NAME', 'REVISION', 'TRAFFIC TYPE', 'PROGRAMMED'];
  process.stdout.write(
    table(
      namespaced ? ['NAMESPACE', ...columns] : columns,
      found.map((gateway) => [
        ...(namespaced ? [gateway.metadata.namespace ?? ''] : []),
        gateway.metadata.name ?? '',
        revisionOf(gateway),
        trafficTypeOf(gateway),
        programmed(gateway),
      ]),
    ),
  );
}

interface StatusFlags extends ListFlags {
  readonly wait: boolean;
  readonly waypointTimeout: number;
}

async function status(options: ClusterOptions, name: string | undefined, flags: StatusFlags): Promise<void> {
  const access = await accessCluster(options);
  let found = (await waypoints(access, flags)).filter(
    ({ metadata }) => name === undefined || metadata.name === name,
  );
  if (found.length === 0 && name !== undefined) {
    throw new WeftError('WEFT1903', `there is no waypoint ${access.namespace}/${name}`);
  }
  if (found.length === 0) return nothingFound(access, flags);
  let failure: unknown;
  if (flags.wait) {
    const deadline = performance.now() + flags.waypointTimeout;
    found = await Promise.all(
      found.map(async (gateway) => {
        const { name: gatewayName = '', namespace = '' } = gateway.metadata;
        try {
          const left = Math.max(0, deadline - performance.now());
          return await untilProgrammed(access.client, { name: gatewayName, namespace }, left);
        } catch (error) {
          failure ??= error;
          return gateway;
        }
      }),
    );
  }
  const namespaced = flags.allNamespaces === true;
  const columns = ['NAME', 'STATUS', 'TYPE', 'REASON', 'MESSAGE'];
  process.stdout.write(
    table(
      namespaced ? ['NAMESPACE', ...columns] : columns,
      found.map((gateway) => {
        const condition = conditionOf(gateway, 'Programmed');
        return [
          ...(namespaced ? [gateway.metadata.namespace ?? ''] : []),
          gateway.metadata.name ?? '',
          programmed(gateway),
          'Programmed',
          condition?.reason ?? 'Unknown',
          condition?.message ?? 'no control plane has looked at it yet',
        ];
      }),
    ),
  );
  if (failure !== undefined) throw failure;
}

function nothingFound(access: ClusterAccess, flags: ListFlags): void {
  const where = flags.allNamespaces === true ? 'in any namespace' : `in namespace ${access.namespace}`;
  process.stdout.write(`No waypoints found ${where}\n`);
}
