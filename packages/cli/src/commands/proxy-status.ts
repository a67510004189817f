import { Command, Option } from 'commander';
import { Component } from '@weft/api';
import { resources } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import { accessCluster, type ClusterAccess, type ClusterOptions } from '../cluster-access.ts';
import { render, table } from '../output.ts';
import { withPortForward } from '../port-forward.ts';

const DEBUG_PORT = 15014;

interface SyncedType {
  readonly state: 'NOT_SENT' | 'SYNCED' | 'STALE' | 'ERROR';
  readonly acknowledgedAt?: string;
  readonly error?: string;
}
interface SyncedProxy {
  /** `pod.namespace`. */
  readonly proxy: string;
  readonly proxy_type: string;
  readonly types: Readonly<Record<string, SyncedType>>;
}
interface Replica {
  readonly istiod: string;
  readonly proxies: readonly SyncedProxy[];
}

/** Short names of types, in the order in which they are sent. */
const typeNames: readonly (readonly [suffix: string, name: string])[] = [
  ['.Cluster', 'CDS'],
  ['.ClusterLoadAssignment', 'EDS'],
  ['.Listener', 'LDS'],
  ['.RouteConfiguration', 'RDS'],
  ['.Secret', 'SDS'],
  ['.Address', 'WDS'],
  ['.Workload', 'WORKLOAD'],
  ['.Authorization', 'WADS'],
];

/** `weft proxy-status`: what each proxy was sent, acknowledged and rejected, by every replica of the control plane. */
export function proxyStatusCommand(options: () => ClusterOptions): Command {
  return new Command('proxy-status')
    .alias('ps')
    .description('what each proxy was sent, acknowledged and rejected')
    .argument('[proxy]', 'only proxies whose name begins so')
    .option('-v, --verbosity <level>', '1 shows each type in a column of its own', Number, 0)
    .addOption(
      new Option('-o, --output <format>', 'output format')
        .choices(['table', 'json', 'yaml'])
        .default('table'),
    )
    .action(
      async (name: string | undefined, flags: { verbosity: number; output: 'table' | 'json' | 'yaml' }) => {
        const replicas = (await fetchStatus(await accessCluster(options()))).map(({ istiod, proxies }) => ({
          istiod,
          proxies: proxies.filter(({ proxy }) => name === undefined || proxy.startsWith(name)),
        }));
        if (name !== undefined && replicas.every(({ proxies }) => proxies.length === 0))
          throw new WeftError('WEFT1903', `no proxy whose name begins with "${name}" is connected`);
        if (flags.output !== 'table') process.stdout.write(render(replicas, flags.output));
        else
          process.stdout.write(flags.verbosity > 0 ? wideTable(replicas, new Date()) : shortTable(replicas));
        for (const { proxy, error } of errorsOf(replicas)) process.stderr.write(`${proxy}: ${error}\n`);
      },
    );
}

async function fetchStatus(access: ClusterAccess): Promise<readonly Replica[]> {
  const { client, istioNamespace } = access;
  const selection = { namespace: istioNamespace, labelSelector: `app=${Component.controlPlane}` };
  const pods = (await client.list(resources.pods, selection)).items.filter(
    ({ status }) => status?.phase === 'Running',
  );
  if (pods.length === 0)
    throw new WeftError(
      'WEFT1903',
      `no running control plane in namespace ${istioNamespace}; weft check says more`,
    );
  return Promise.all(
    pods.map((pod) =>
      withPortForward(access, pod, DEBUG_PORT, async (port) => {
        const response = await fetch(`http://127.0.0.1:${port}/debug/syncz`);
        if (!response.ok) throw new WeftError('WEFT1904', `/debug/syncz answered ${response.status}`);
        const proxies = (await response.json()) as readonly SyncedProxy[]; // our own control plane's
        return { istiod: pod.metadata.name ?? '', proxies };
      }),
    ),
  );
}

function shortTable(replicas: readonly Replica[]): string {
  return table(
    ['NAME', 'TYPE', 'ISTIOD', 'STATUS', 'SUBSCRIBED TYPES'],
    rowsOf(replicas).map(({ istiod, proxy, proxy_type, types }) => {
      const names = typeNames
        .filter(([suffix]) => typeOf(types, suffix) !== undefined)
        .map(([, name]) => name);
      return [proxy, proxy_type, istiod, worst(Object.values(types)), `${names.length} (${names.join(',')})`];
    }),
  );
}

function wideTable(replicas: readonly Replica[], now: Date): string {
  const rows = rowsOf(replicas);
  const used = typeNames.filter(([suffix]) => rows.some(({ types }) => typeOf(types, suffix) !== undefined));
  return table(
    ['NAME', 'ISTIOD', ...used.map(([, name]) => name)],
    rows.map(({ istiod, proxy, types }) => [
      proxy,
      istiod,
      ...used.map(([suffix]) => cell(typeOf(types, suffix), now)),
    ]),
  );
}

function rowsOf(replicas: readonly Replica[]): readonly (SyncedProxy & { readonly istiod: string })[] {
  return replicas
    .flatMap(({ istiod, proxies }) => {
      // A proxy may have several streams: a waypoint has one for what it serves and one for names.
      const merged = new Map<string, SyncedProxy>();
      for (const { proxy, proxy_type, types } of proxies) {
        merged.set(proxy, { proxy, proxy_type, types: { ...merged.get(proxy)?.types, ...types } });
      }
      return [...merged.values()].map((proxy) => ({ ...proxy, istiod }));
    })
    .sort((a, b) => a.proxy.localeCompare(b.proxy));
}

function typeOf(types: SyncedProxy['types'], suffix: string): SyncedType | undefined {
  return Object.entries(types).find(([typeUrl]) => typeUrl.endsWith(suffix))?.[1];
}

function cell(type: SyncedType | undefined, now: Date): string {
  if (type === undefined) return 'IGNORED';
  const state = type.state.replace('_', ' ');
  if (type.state !== 'SYNCED' || type.acknowledgedAt === undefined) return state;
  return `${state} (${age(now.getTime() - Date.parse(type.acknowledgedAt))})`;
}

function worst(types: readonly SyncedType[]): string {
  for (const state of ['ERROR', 'STALE'] as const) if (types.some((t) => t.state === state)) return state;
  return 'SYNCED';
}

function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)}m` : `${Math.round(seconds / 3600)}h`;
}

function errorsOf(
  replicas: readonly Replica[],
): readonly { readonly proxy: string; readonly error: string }[] {
  return rowsOf(replicas).flatMap(({ proxy, types }) =>
    Object.values(types).flatMap(({ error }) => (error === undefined ? [] : [{ proxy, error }])),
  );
}
