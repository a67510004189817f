import { WeftError } from '@weft/telemetry';
import {
  holdsPlugin,
  parseNetworkConfig,
  serialize,
  withPlugin,
  withoutPlugin,
  type NetworkConfigList,
  type PluginConfig,
} from './conflist.ts';

export interface ConfigSettings {
  readonly plugin: PluginConfig;
  /** Whether the plugin follows the node's other plugins, or is a network of its own that others refer to. */
  readonly chained: boolean;
  /** The configuration to chain into, by default the one that the runtime takes; not chained: the one to write. */
  readonly confName: string | undefined;
  /** Whether a file of ours takes the place of the primary configuration. `auto`: where that one would not last. */
  readonly ownFile: 'auto' | 'always' | 'never';
  readonly ownFileName: string;
}

export const DEFAULT_OWN_FILE = '02-istio-cni.conflist';
const DEFAULT_UNCHAINED_FILE = 'YYY-istio-cni.conf';

/** A file of the node's CNI folder. */
export interface ConfigFile {
  readonly name: string;
  readonly text: string;
}

export type ConfigPlan =
  /** There is nothing to chain into; what there is of us stays. */
  | { readonly kind: 'wait' }
  /** No changes: all is as it should be. */
  | ({ readonly kind: 'apply'; readonly place: 'chained' | 'own file' | 'unchained' } & Changes);

/** Files to write, in this order, and then files to remove. */
export interface Changes {
  readonly writes: readonly ConfigFile[];
  readonly removes: readonly string[];
}

/**
 * Plugins whose agents write their configuration anew whenever they start, so that after a reboot or an upgrade of
 * theirs pods could start before we are back in it.
 */
const REWRITING_PLUGINS: ReadonlySet<string> = new Set([
  'antrea',
  'aws-cni',
  'azure-vnet',
  'calico',
  'cilium-cni',
  'flannel',
  'kube-ovn',
  'ovn-k8s-cni-overlay',
]);

/**
 * What makes the folder right. Pure. The new place is made before the old one is given up, so that at no time the
 * runtime finds a configuration without us.
 *
 * @param files by name, as the runtime sorts them
 * @param contested whether somebody writes over our entry again and again
 * Throws WEFT1711 when a file of our own would not be the one that the runtime takes.
 */
export function planConfig(
  settings: ConfigSettings,
  files: readonly ConfigFile[],
  contested: boolean,
): ConfigPlan {
  const configs = files.flatMap(parse);
  if (!settings.chained) {
    const name = settings.confName ?? DEFAULT_UNCHAINED_FILE;
    const text = serialize({ cniVersion: '0.3.1', ...settings.plugin });
    return apply('unchained', { name, text }, files, withoutUs(configs, name), [settings.ownFileName]);
  }
  const primary = primaryOf(settings, configs);
  if (primary === undefined) return { kind: 'wait' };
  const text = serialize(withPlugin(primary.list, settings.plugin));
  if (wantsOwnFile(settings, primary, files, contested)) {
    const name = settings.ownFileName;
    return apply('own file', { name, text }, files, withoutUs(configs, name), []);
  }
  const name = primary.name.replace(/\.(conf|json)$/, '.conflist');
  return apply('chained', { name, text }, files, withoutUs(configs, name, primary.name), [
    settings.ownFileName,
    ...(name === primary.name ? [] : [primary.name]),
  ]);
}

/** What takes us out of every file, and removes that of our own, though it holds the plugins of others as well. */
export function planRemoval(files: readonly ConfigFile[], ownFileName: string): Changes {
  const { writes, removes } = withoutUs(files.flatMap(parse), ownFileName);
  const own = files.filter(({ name }) => name === ownFileName).map(({ name }) => name);
  return { writes, removes: [...removes, ...own] };
}

interface Config {
  readonly name: string;
  readonly list: NetworkConfigList;
}

/** What is no valid configuration is nobody's primary, and not ours to touch. */
function parse({ name, text }: ConfigFile): readonly Config[] {
  try {
    return [{ name, list: parseNetworkConfig(text, name) }];
  } catch {
    return [];
  }
}

function primaryOf(settings: ConfigSettings, configs: readonly Config[]): Config | undefined {
  const { confName, ownFileName } = settings;
  const others = configs.filter(
    ({ name, list }) => name !== ownFileName && withoutPlugin(list).plugins.length > 0,
  );
  if (confName === undefined) return others[0];
  const stem = (name: string): string => name.replace(/\.(conf|conflist|json)$/, '');
  // A `.conf` that we made a `.conflist` earlier is still meant by its old name.
  return (
    others.find(({ name }) => name === confName) ?? others.find(({ name }) => stem(name) === stem(confName))
  );
}

function wantsOwnFile(
  { ownFile, ownFileName }: ConfigSettings,
  primary: Config,
  files: readonly ConfigFile[],
  contested: boolean,
): boolean {
  if (ownFile === 'never') return false;
  const isFirst = ownFileName < primary.name;
  if (ownFile === 'always') {
    if (isFirst) return true;
    throw new WeftError('WEFT1711', `${ownFileName} does not sort before ${primary.name}`);
  }
  const wouldNotLast =
    contested ||
    primary.list.plugins.some(({ type }) => REWRITING_PLUGINS.has(type)) ||
    // Made when an earlier agent found it contested.
    files.some(({ name }) => name === ownFileName);
  return isFirst && wouldNotLast;
}

/** Takes us out of the given files, but for some; a file with nothing but us goes. */
function withoutUs(configs: readonly Config[], ...except: readonly string[]): Changes {
  const holding = configs.filter(({ name, list }) => !except.includes(name) && holdsPlugin(list));
  const rests = holding.map(({ name, list }) => ({ name, rest: withoutPlugin(list) }));
  return {
    writes: rests
      .filter(({ rest }) => rest.plugins.length > 0)
      .map(({ name, rest }) => ({ name, text: serialize(rest) })),
    removes: rests.filter(({ rest }) => rest.plugins.length === 0).map(({ name }) => name),
  };
}

function apply(
  place: (ConfigPlan & { kind: 'apply' })['place'],
  target: ConfigFile,
  files: readonly ConfigFile[],
  others: Changes,
  obsolete: readonly string[],
): ConfigPlan {
  const isThere = (wanted: string): boolean => files.some(({ name }) => name === wanted);
  const removes = new Set(
    [...others.removes, ...obsolete].filter((name) => name !== target.name && isThere(name)),
  );
  const isWritten = files.some(({ name, text }) => name === target.name && text === target.text);
  return {
    kind: 'apply',
    place,
    writes: [...(isWritten ? [] : [target]), ...others.writes.filter(({ name }) => !removes.has(name))],
    removes: [...removes],
  };
}
