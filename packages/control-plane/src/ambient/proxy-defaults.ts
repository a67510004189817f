import { Fields, record, text, wrong } from './config-fields.ts';

/** MeshConfig `defaultConfig`, a ProxyConfig: how the processes of waypoints are started. */
export interface ProxyDefaults {
  /** As written: what the control plane doesn't read may be for the proxy. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** `proxyMetadata`. */
  readonly environment: Readonly<Record<string, string>>;
  readonly terminationDrainMs: number | undefined;
}

export const noProxyDefaults: ProxyDefaults = { fields: {}, environment: {}, terminationDrainMs: undefined };

/** What our own waypoint reads; the control plane's address is its own, which nobody needs to write. */
const effective: ReadonlySet<string> = new Set([
  'discoveryAddress',
  'drainDuration',
  'proxyAdminPort',
  'proxyMetadata',
  'terminationDrainDuration',
]);

const VARIABLE_NAME = /^[A-Za-z_][\w.-]*$/;
const MAX_PORT = 65_535;
/** A longer one would keep pods of nodes that are drained for longer than anybody waits. */
const MAX_DRAIN_MS = 3_600_000;

/** @throws with the path of what is wrong */
export function parseProxyDefaults(value: unknown): ProxyDefaults {
  if (value === undefined) return noProxyDefaults;
  const fields = new Fields(value, 'defaultConfig');
  fields.optionalText('discoveryAddress');
  if (fields.value('proxyAdminPort') !== undefined) fields.integer('proxyAdminPort', MAX_PORT);
  drainMs(fields, 'drainDuration');
  return {
    fields: record(value, fields.path),
    environment: environment(fields.value('proxyMetadata') ?? {}, fields.at('proxyMetadata')),
    terminationDrainMs: drainMs(fields, 'terminationDrainDuration'),
  };
}

/** Fields that are passed on, and that our own waypoints don't read. */
export function ineffectiveProxyDefaults(value: unknown): string[] {
  if (value === undefined) return [];
  return new Fields(value, 'defaultConfig').names().filter((name) => !effective.has(name));
}

function drainMs(fields: Fields, name: string): number | undefined {
  const ms = fields.durationMs(name);
  if (ms !== undefined && ms > MAX_DRAIN_MS) throw wrong(fields.at(name), 'is longer than an hour');
  return ms;
}

function environment(value: unknown, path: string): Readonly<Record<string, string>> {
  const variables = Object.entries(record(value, path)).map(([name, given]): readonly [string, string] => {
    if (!VARIABLE_NAME.test(name)) throw wrong(`${path}.${name}`, 'is no name of a variable');
    return [name, given === '' ? '' : text(given, `${path}.${name}`)];
  });
  return Object.fromEntries(variables);
}
