import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode, WeftError } from '@weft/telemetry';

/** One plugin of a network, as its configuration file gives it. */
export interface PluginConfig {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly [key: string]: unknown;
}

/** A network configuration list (CNI specification, section 1). */
export interface NetworkConfig {
  readonly name: string;
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly plugins: readonly PluginConfig[];
}

/** A configuration that names no version is of the first one. */
const FIRST_CNI_VERSION = '0.1.0';

/**
 * The network of a node: the lexically first file of the directory that ends in .conflist, .conf or .json.
 * It is read afresh each time, because a mesh rewrites it to chain itself. Undefined while there is none.
 * @throws WEFT2066 when that file is not usable
 */
export async function readNetworkConfig(directory: string): Promise<NetworkConfig | undefined> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const first = names.filter((name) => /\.(conflist|conf|json)$/.test(name)).sort()[0];
  if (first === undefined) return undefined;
  const path = join(directory, first);
  return parseNetworkConfig(await readFile(path, 'utf8'), path);
}

/** Accepts a list, and a single plugin's configuration, which becomes a list of one. */
export function parseNetworkConfig(text: string, source: string): NetworkConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new WeftError('WEFT2066', `${source} is not JSON`, { cause: error });
  }
  if (!isObject(parsed)) throw new WeftError('WEFT2066', `${source}: expected an object`);
  const { name, cniVersion = FIRST_CNI_VERSION, disableCheck = false, plugins = [parsed] } = parsed;
  if (typeof name !== 'string' || name === '') throw new WeftError('WEFT2066', `${source}: name is missing`);
  if (typeof cniVersion !== 'string')
    throw new WeftError('WEFT2066', `${source}: cniVersion is not a string`);
  if (!Array.isArray(plugins) || plugins.length === 0) {
    throw new WeftError('WEFT2066', `${source}: plugins is not a list with an entry`);
  }
  return {
    name,
    cniVersion,
    disableCheck: disableCheck === true || disableCheck === 'true',
    plugins: plugins.map((plugin, index) => parsePlugin(plugin, `${source}: plugins[${index}]`)),
  };
}

function parsePlugin(plugin: unknown, source: string): PluginConfig {
  if (!isObject(plugin)) throw new WeftError('WEFT2066', `${source}: expected an object`);
  const { type, capabilities, ...rest } = plugin;
  // The type becomes a file name below CNI_PATH: nothing that leaves it.
  if (typeof type !== 'string' || !/^[A-Za-z0-9][\w.-]*$/.test(type)) {
    throw new WeftError('WEFT2066', `${source}: type is not a plugin's name`);
  }
  if (!isObject(capabilities)) return { ...rest, type };
  const declared = Object.entries(capabilities).map(([key, value]) => [key, value === true] as const);
  return { ...rest, type, capabilities: Object.fromEntries(declared) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
