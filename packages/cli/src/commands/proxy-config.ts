import { Command, Option } from 'commander';
import { WeftError } from '@weft/telemetry';
import { accessCluster, type ClusterOptions } from '../cluster-access.ts';
import { render, type OutputFormat } from '../output.ts';
import { POD_ARGUMENT } from '../pod-by-name.ts';
import { portNumber } from '../port-number.ts';
import type { ProxyDump } from '../proxy/admin-dump.ts';
import { PROXY_ADMIN_PORT, fetchFromProxy, readSaved } from '../proxy/fetch.ts';

interface CommonFlags {
  readonly output: OutputFormat;
  readonly file?: string;
  readonly proxyAdminPort: number;
}
interface NameFlags extends CommonFlags {
  readonly name?: string;
}
interface ClusterFlags extends CommonFlags {
  readonly fqdn?: string;
  readonly port?: number;
  readonly subset?: string;
  readonly direction?: string;
}
interface ListenerFlags extends CommonFlags {
  readonly address?: string;
  readonly port?: number;
}
interface EndpointFlags extends ListenerFlags {
  readonly cluster?: string;
  readonly status?: string;
}

interface View {
  readonly table: string;
  readonly value: unknown;
}

const CONFIG_DUMP = '/config_dump';
const CLUSTERS = '/clusters?format=json';

/** `weft proxy-config`: what a waypoint was configured with, in istioctl's tables. */
export function proxyConfigCommand(options: () => ClusterOptions): Command {
  const root = new Command('proxy-config').alias('pc').description('configuration of a waypoint');
  // The readers of Envoy's messages take a tenth of a second to load, which the other commands need not pay.
  const dumpView = <F extends CommonFlags>(
    command: Command,
    view: (dump: ProxyDump, flags: F) => Promise<View> | View,
  ): void =>
    reads<F>(command, options, CONFIG_DUMP, async (json, flags) => {
      const { readConfigDump } = await import('../proxy/admin-dump.ts');
      return view(readConfigDump(json), flags);
    });

  dumpView<ClusterFlags>(
    root
      .command('cluster')
      .aliases(['clusters', 'c'])
      .description('clusters: what traffic can go to')
      .option('--fqdn <host>', 'only this service')
      .option('--port <port>', 'only this port', portNumber)
      .option('--subset <name>', 'only this subset')
      .option('--direction <direction>', 'inbound-vip, outbound, …'),
    async (dump, flags) => {
      const { clusterTable, clustersOf } = await import('../proxy/cluster-table.ts');
      const clusters = clustersOf(dump.clusters, flags);
      return {
        table: clusterTable(clusters),
        value: await asJson('envoy.config.cluster.v3.Cluster', clusters),
      };
    },
  );
  dumpView<ListenerFlags>(
    root
      .command('listener')
      .aliases(['listeners', 'l'])
      .description('listeners, and how traffic is told apart')
      .option('--address <ip>', 'only this address')
      .option('--port <port>', 'only this port', portNumber),
    async (dump, flags) => {
      const { listenerTable, listenersOf } = await import('../proxy/listener-table.ts');
      const listeners = listenersOf(dump.listeners, flags);
      return {
        table: listenerTable(listeners),
        value: await asJson('envoy.config.listener.v3.Listener', listeners),
      };
    },
  );
  dumpView<NameFlags>(
    root
      .command('route')
      .aliases(['routes', 'r'])
      .description('routes')
      .option('--name <name>', 'only this route table'),
    async (dump, flags) => {
      const { routeTable, routesOf } = await import('../proxy/route-table.ts');
      const routes = routesOf(dump.routes, flags.name);
      return {
        table: routeTable(routes),
        value: await asJson('envoy.config.route.v3.RouteConfiguration', routes),
      };
    },
  );
  reads<EndpointFlags>(
    root
      .command('endpoint')
      .aliases(['endpoints', 'ep'])
      .description('endpoints and their health')
      .option('--cluster <name>', 'only this cluster')
      .option('--status <status>', 'only in this health')
      .option('--address <ip>', 'only this address')
      .option('--port <port>', 'only this port', portNumber),
    options,
    CLUSTERS,
    async (json, flags) => {
      const { readClusters } = await import('../proxy/admin-dump.ts');
      const { endpointTable, endpointsOf } = await import('../proxy/endpoint-table.ts');
      const rows = endpointsOf(readClusters(json), flags);
      return { table: endpointTable(rows), value: rows };
    },
  );
  dumpView<CommonFlags>(
    root.command('secret').aliases(['secrets', 's']).description('certificates and trusted roots'),
    async (dump) => {
      const { secretTable, secretsOf } = await import('../proxy/secret-table.ts');
      const entries = secretsOf(dump.secrets);
      return {
        table: secretTable(entries, new Date()),
        value: await asJson(
          'envoy.extensions.transport_sockets.tls.v3.Secret',
          entries.map(({ secret }) => secret),
        ),
      };
    },
  );
  reads<CommonFlags>(
    root.command('bootstrap').alias('b').description('what it was started with, as JSON'),
    options,
    CONFIG_DUMP,
    async (json) => {
      const { readBootstrap } = await import('../proxy/admin-dump.ts');
      const bootstrap = readBootstrap(json);
      return { table: render(bootstrap, 'json'), value: bootstrap };
    },
  );
  dumpView<CommonFlags>(root.command('all').alias('a').description('everything'), async (dump) => {
    const { clusterTable, clustersOf } = await import('../proxy/cluster-table.ts');
    const { listenerTable, listenersOf } = await import('../proxy/listener-table.ts');
    const { routeTable, routesOf } = await import('../proxy/route-table.ts');
    const { secretTable, secretsOf } = await import('../proxy/secret-table.ts');
    const tables = [
      clusterTable(clustersOf(dump.clusters, {})),
      listenerTable(listenersOf(dump.listeners, {})),
      routeTable(routesOf(dump.routes, undefined)),
      secretTable(secretsOf(dump.secrets), new Date()),
    ];
    return { table: tables.join('\n'), value: dump.json };
  });
  root
    .command('log')
    .description('show or change the log levels of a waypoint')
    .argument('<proxy>', POD_ARGUMENT)
    .option('--level <level>', 'the new level: trace, debug, info, warning, error, or scope:level')
    .option('--proxy-admin-port <port>', 'administration port of the proxy', portNumber, PROXY_ADMIN_PORT)
    .action(async (proxy: string, flags: { level?: string; proxyAdminPort: number }) => {
      const path = flags.level === undefined ? '/logging' : `/logging?${loggingQuery(flags.level)}`;
      const access = await accessCluster(options());
      const body = await fetchFromProxy(access, proxy, { path, port: flags.proxyAdminPort, method: 'POST' });
      process.stdout.write(body);
    });
  return root;
}

function reads<F extends CommonFlags>(
  command: Command,
  options: () => ClusterOptions,
  path: string,
  view: (json: unknown, flags: F) => Promise<View> | View,
): void {
  command
    .argument('[proxy]', POD_ARGUMENT)
    .addOption(
      new Option('-o, --output <format>', 'output format')
        .choices(['short', 'json', 'yaml'])
        .default('short'),
    )
    .option('-f, --file <file>', `a saved ${path} instead of a cluster`)
    .option('--proxy-admin-port <port>', 'administration port of the proxy', portNumber, PROXY_ADMIN_PORT)
    .action(async (proxy: string | undefined, flags: F) => {
      if ((proxy === undefined) === (flags.file === undefined))
        throw new WeftError('WEFT1909', 'name a proxy, or a file with --file');
      const json =
        proxy === undefined
          ? await readSaved(flags.file ?? '')
          : JSON.parse(
              await fetchFromProxy(await accessCluster(options()), proxy, {
                path,
                port: flags.proxyAdminPort,
              }),
            );
      const { table, value } = await view(json, flags);
      process.stdout.write(flags.output === 'short' ? table : render(value, flags.output));
    });
}

/** ProtoJSON of messages of one type. */
async function asJson(typeName: string, messages: readonly object[]): Promise<unknown> {
  const { envoyMessageToJson } = await import('@weft/api/envoy-json');
  return messages.map((message) => envoyMessageToJson(typeName, message));
}

/** `debug`, or `scope:level` as in istioctl. */
function loggingQuery(level: string): string {
  const [scope, value] = level.split(':');
  return value === undefined
    ? `level=${encodeURIComponent(level)}`
    : `${encodeURIComponent(scope ?? '')}=${encodeURIComponent(value)}`;
}
