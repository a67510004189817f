import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode, WeftError } from '@weft/telemetry';
import { parseNetworkConfig, readNetworkConfig, type NetworkConfig, type PluginConfig } from './conflist.ts';
import { findPlugin, runPlugin, type CniCommand, type CniParameters } from './plugin-process.ts';

export interface PodNetworkOptions {
  /** Where the network configuration lies, such as /etc/cni/net.d. */
  readonly confDir: string;
  /** CNI_PATH. */
  readonly binDirs: readonly string[];
  /** Where the results of ADD are kept for CHECK and DEL. */
  readonly cacheDir: string;
}

/** The pod that is being attached. */
export interface Attachment {
  readonly containerId: string;
  /** Path of the network namespace; empty in `detach` when it is gone. */
  readonly netns: string;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  /** Offered to plugins that declare the capability of that name, such as `portMappings`. */
  readonly runtimeConfig?: Readonly<Record<string, unknown>>;
}

export interface AttachmentResult {
  /** Addresses of eth0 without their prefix length, in the order of the result. */
  readonly ips: readonly string[];
}

const IF_NAME = 'eth0';

/** What an ADD leaves for CHECK and DEL: they must see the configuration of then, not of now. */
interface CachedAttachment {
  readonly attachment: Attachment;
  readonly config: unknown;
  readonly result: unknown;
}

/**
 * Attaches pods to the node's network by the CNI specification: ADD down the chain, each plugin with the result of
 * the one before; CHECK and DEL with the cached result, DEL up the chain.
 */
export class PodNetwork {
  private readonly options: PodNetworkOptions;

  constructor(options: PodNetworkOptions) {
    this.options = options;
  }

  /** Undefined while the node has no network configuration. */
  config(): Promise<NetworkConfig | undefined> {
    return readNetworkConfig(this.options.confDir);
  }

  /** After a failure nothing of the attachment is left, as far as DEL succeeds. Throws WEFT2066, WEFT2067. */
  async attach(attachment: Attachment): Promise<AttachmentResult> {
    const config = await this.config();
    if (config === undefined)
      throw new WeftError('WEFT2066', `no network configuration in ${this.options.confDir}`);
    let result: unknown;
    try {
      for (const plugin of config.plugins) {
        result = await this.invoke('ADD', attachment, config, plugin, result);
      }
      // Before the pod runs: a kubelet that dies now must still be able to DEL.
      await this.writeCache(attachment, { attachment, config, result });
    } catch (error) {
      await this.delete(attachment, config, result).catch(() => undefined);
      throw error;
    }
    return { ips: readIps(result) };
  }

  /** Throws the plugin's error when the attachment is no longer as ADD left it. */
  async check(containerId: string): Promise<void> {
    const cached = await this.readCache(containerId);
    if (cached === undefined)
      throw new WeftError('WEFT2067', `nothing is known of attachment ${containerId}`);
    if (cached.config.disableCheck) return;
    for (const plugin of cached.config.plugins) {
      await this.invoke('CHECK', cached.attachment, cached.config, plugin, cached.result);
    }
  }

  /** Harmless when repeated, and when the namespace no longer exists. */
  async detach(attachment: Attachment): Promise<void> {
    const cached = await this.readCache(attachment.containerId);
    const config = cached?.config ?? (await this.config());
    if (config !== undefined) await this.delete(attachment, config, cached?.result);
    await rm(this.cacheFile(attachment.containerId), { force: true });
  }

  /** Attachments that ADD made and no DEL has undone. */
  async attachments(): Promise<readonly Attachment[]> {
    const found: Attachment[] = [];
    for (const name of await readdir(this.options.cacheDir).catch(() => [])) {
      if (!name.endsWith('.json')) continue;
      const cached = await this.readCache(name.slice(0, -'.json'.length));
      if (cached !== undefined) found.push(cached.attachment);
    }
    return found;
  }

  /** Goes on after a failure: what one plugin can't undo is no reason to leak what the others hold. */
  private async delete(attachment: Attachment, config: NetworkConfig, result: unknown): Promise<void> {
    const current = await this.config().catch(() => undefined); // damaged: not the time to judge
    const failures: unknown[] = [];
    for (const plugin of config.plugins.toReversed()) {
      if (await this.wasUninstalled(plugin, current)) continue;
      await this.invoke('DEL', attachment, config, plugin, result).catch((error: unknown) =>
        failures.push(error),
      );
    }
    if (failures.length > 0) throw failures[0];
  }

  /**
   * A plugin that left both the configuration and the node can't undo its ADD any longer. Its pods must be able to
   * end all the same; what it did to them ends with their network namespace.
   */
  private async wasUninstalled(plugin: PluginConfig, current: NetworkConfig | undefined): Promise<boolean> {
    if (current === undefined || current.plugins.some(({ type }) => type === plugin.type)) return false;
    return (await findPlugin(plugin.type, this.options.binDirs)) === undefined;
  }

  private invoke(
    command: CniCommand,
    attachment: Attachment,
    config: NetworkConfig,
    plugin: PluginConfig,
    prevResult: unknown,
  ): Promise<unknown> {
    const parameters: CniParameters = {
      command,
      containerId: attachment.containerId,
      netns: attachment.netns,
      ifName: IF_NAME,
      args: cniArgs(attachment),
      path: this.options.binDirs,
    };
    return runPlugin(
      plugin.type,
      parameters,
      pluginInput(config, plugin, attachment.runtimeConfig ?? {}, prevResult),
    );
  }

  private cacheFile(containerId: string): string {
    return join(this.options.cacheDir, `${containerId}.json`);
  }

  private async writeCache(attachment: Attachment, cached: CachedAttachment): Promise<void> {
    const path = this.cacheFile(attachment.containerId);
    await mkdir(this.options.cacheDir, { recursive: true });
    await writeFile(`${path}.tmp`, JSON.stringify(cached), { mode: 0o600 });
    await rename(`${path}.tmp`, path);
  }

  private async readCache(
    containerId: string,
  ): Promise<{ attachment: Attachment; config: NetworkConfig; result: unknown } | undefined> {
    const path = this.cacheFile(containerId);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
    const cached = JSON.parse(text) as CachedAttachment; // our own file, replaced atomically
    return { ...cached, config: parseNetworkConfig(JSON.stringify(cached.config), path) };
  }
}

/** What a plugin reads: its own configuration, completed (CNI specification, section 3, "deriving configuration"). */
export function pluginInput(
  config: NetworkConfig,
  plugin: PluginConfig,
  runtimeConfig: Readonly<Record<string, unknown>>,
  prevResult: unknown,
): Record<string, unknown> {
  const { capabilities, ...own } = plugin;
  const declared = Object.entries(runtimeConfig).filter(([name]) => capabilities?.[name] === true);
  return {
    ...own,
    name: config.name,
    cniVersion: config.cniVersion,
    ...(declared.length === 0 ? {} : { runtimeConfig: Object.fromEntries(declared) }),
    ...(prevResult === undefined ? {} : { prevResult }),
  };
}

/** The keys that Kubernetes runtimes pass, which plugins use to find the pod. */
export function cniArgs({ containerId, pod }: Attachment): string {
  return [
    'IgnoreUnknown=1',
    `K8S_POD_NAMESPACE=${pod.namespace}`,
    `K8S_POD_NAME=${pod.name}`,
    `K8S_POD_INFRA_CONTAINER_ID=${containerId}`,
    `K8S_POD_UID=${pod.uid}`,
  ].join(';');
}

/** The pod's addresses: those of the result that aren't of an interface outside the pod. */
export function readIps(result: unknown): string[] {
  if (typeof result !== 'object' || result === null || !('ips' in result) || !Array.isArray(result.ips)) {
    throw new WeftError('WEFT2067', 'the result of the last plugin has no addresses');
  }
  const interfaces = 'interfaces' in result && Array.isArray(result.interfaces) ? result.interfaces : [];
  const ips: string[] = [];
  for (const entry of result.ips as readonly unknown[]) {
    if (typeof entry !== 'object' || entry === null || !('address' in entry)) continue;
    const owner: unknown =
      'interface' in entry && typeof entry.interface === 'number' ? interfaces[entry.interface] : undefined;
    const outside =
      typeof owner === 'object' && owner !== null && !('sandbox' in owner && owner.sandbox !== '');
    const address = String(entry.address).split('/')[0];
    if (!outside && address !== undefined && address !== '') ips.push(address);
  }
  if (ips.length === 0) throw new WeftError('WEFT2067', 'the result of the last plugin has no addresses');
  return ips;
}
