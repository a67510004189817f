import { CniName } from '@weft/api';
import { WeftError } from '@weft/telemetry';

/** A network configuration list of the CNI specification; fields that we don't know are kept. */
export interface NetworkConfigList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly PluginConfig[];
  readonly [field: string]: unknown;
}
export interface PluginConfig {
  readonly type: string;
  readonly [field: string]: unknown;
}

const WRAPPER = { name: 'k8s-pod-network', cniVersion: '0.3.1' } as const;

/** Reads a `.conflist`, or a `.conf` of one plugin, which becomes a list of one. Throws WEFT1706. */
export function parseNetworkConfig(text: string, file: string): NetworkConfigList {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new WeftError('WEFT1706', `${file}: not JSON`, { cause: error });
  }
  if (typeof value !== 'object' || value === null) throw new WeftError('WEFT1706', `${file}: not an object`);
  if (isPlugin(value)) {
    const { name = WRAPPER.name, cniVersion = WRAPPER.cniVersion } = value;
    return { name: String(name), cniVersion: String(cniVersion), plugins: [value] };
  }
  const plugins: unknown = Reflect.get(value, 'plugins');
  if (!Array.isArray(plugins) || plugins.length === 0 || !plugins.every(isPlugin)) {
    throw new WeftError('WEFT1706', `${file}: "plugins" must be a list of objects with a "type"`);
  }
  return {
    ...value,
    name: String(Reflect.get(value, 'name') ?? WRAPPER.name),
    cniVersion: String(Reflect.get(value, 'cniVersion') ?? WRAPPER.cniVersion),
    plugins,
  };
}

function isPlugin(value: unknown): value is PluginConfig {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'type') === 'string';
}

/** The list with our plugin as its last, in place of any earlier entry of ours. */
export function withPlugin(list: NetworkConfigList, plugin: PluginConfig): NetworkConfigList {
  return { ...list, plugins: [...withoutPlugin(list).plugins, plugin] };
}

export function withoutPlugin(list: NetworkConfigList): NetworkConfigList {
  return { ...list, plugins: list.plugins.filter((entry) => !isOurs(entry)) };
}

export function holdsPlugin(list: NetworkConfigList): boolean {
  return list.plugins.some(isOurs);
}

function isOurs({ type }: PluginConfig): boolean {
  return type === CniName.plugin;
}

export function serialize(config: NetworkConfigList | PluginConfig): string {
  return `${JSON.stringify(config, null, 2)}\n`;
}
