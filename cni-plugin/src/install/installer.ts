import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { CniName } from '@weft/api';
import { describeError, type Logger } from '@weft/telemetry';
import { writeAtomically } from './atomic-write.ts';
import { hasPlugin, parseNetworkConfig, withPlugin, withoutPlugin, type PluginConfig } from './conflist.ts';

export interface InstallerOptions {
  /** The node's folders, as mounted here. */
  readonly binDir: string;
  readonly confDir: string;
  /** Name of the configuration to chain into; undefined: the lexically first valid one. */
  readonly confName: string | undefined;
  readonly plugin: PluginConfig;
  /** The plugin's bundle and the Node binary to run it with. */
  readonly bundleFile: string;
  readonly nodeFile: string;
  readonly logger: Logger;
}

/** Beside the wrapper, so that the node needs nothing installed. */
const PROGRAM_DIR = '.istio-cni';
const WRAPPER = `#!/bin/sh
exec "\${0%/*}/${PROGRAM_DIR}/node" "\${0%/*}/${PROGRAM_DIR}/plugin.cjs" "$@"
`;
/** Rewrites of somebody else that we answer within this time are a fight, and worth a warning. */
const STORM = { windowMs: 60_000, rewrites: 10 } as const;

/** Puts the plugin on the node and keeps it in the CNI configuration. */
export class Installer {
  private readonly options: InstallerOptions;
  private rewrites: number[] = [];

  constructor(options: InstallerOptions) {
    this.options = options;
  }

  /** Copies the program; a file in use is replaced by rename, never written over. */
  installProgram(): void {
    const { binDir, bundleFile, nodeFile } = this.options;
    const dir = path.join(binDir, PROGRAM_DIR);
    mkdirSync(dir, { recursive: true });
    copyIfChanged(nodeFile, path.join(dir, 'node'));
    writeAtomically(path.join(dir, 'plugin.cjs'), readFileSync(bundleFile), 0o644);
    const wrapper = path.join(binDir, CniName.plugin);
    writeAtomically(wrapper, WRAPPER, 0o755);
    chmodSync(wrapper, 0o755);
  }

  /** Makes the configuration right. `waiting`: there is none to chain into yet. */
  ensureConfig(nowMs: number): 'waiting' | 'unchanged' | 'written' {
    const { confDir, plugin, logger } = this.options;
    const found = this.primaryConfig();
    if (found === undefined) return 'waiting';
    const { file, list } = found;
    if (file.endsWith('.conflist') && hasPlugin(list, plugin)) return 'unchanged';
    this.rewrites = [...this.rewrites.filter((t) => t > nowMs - STORM.windowMs), nowMs];
    if (this.rewrites.length === STORM.rewrites) {
      logger.warn(
        'the CNI configuration is rewritten again and again; another CNI may be set to be the only one',
        { file },
      );
    }
    const target = path.join(confDir, file.replace(/\.(conf|json)$/, '.conflist'));
    writeAtomically(target, `${JSON.stringify(withPlugin(list, plugin), null, 2)}\n`, 0o600);
    if (target !== path.join(confDir, file)) rmSync(path.join(confDir, file));
    logger.info('CNI configuration written', { file: path.basename(target) });
    return 'written';
  }

  /** Takes our entry out of every configuration, and the program off the node. */
  remove(): void {
    const { binDir, confDir, logger } = this.options;
    for (const file of configFiles(confDir)) {
      try {
        const list = parseNetworkConfig(readFileSync(path.join(confDir, file), 'utf8'), file);
        const rest = withoutPlugin(list);
        if (rest.plugins.length === list.plugins.length) continue;
        writeAtomically(path.join(confDir, file), `${JSON.stringify(rest, null, 2)}\n`, 0o600);
      } catch (error) {
        logger.warn('CNI configuration not cleaned', { file, error: describeError(error) });
      }
    }
    rmSync(path.join(binDir, CniName.plugin), { force: true });
    rmSync(path.join(binDir, PROGRAM_DIR), { recursive: true, force: true });
  }

  private primaryConfig(): { file: string; list: ReturnType<typeof parseNetworkConfig> } | undefined {
    const { confDir, confName, logger } = this.options;
    const files = confName === undefined || confName === '' ? configFiles(confDir) : [confName];
    for (const file of files) {
      try {
        return { file, list: parseNetworkConfig(readFileSync(path.join(confDir, file), 'utf8'), file) };
      } catch (error) {
        logger.debug('CNI configuration passed over', { file, error: describeError(error) });
      }
    }
    return undefined;
  }
}

/** In the order in which container runtimes choose. */
function configFiles(dir: string): readonly string[] {
  return readdirSync(dir)
    .filter((name) => /\.(conf|conflist|json)$/.test(name) && !name.startsWith('.'))
    .sort();
}

function copyIfChanged(from: string, to: string): void {
  const source = statSync(from);
  const target = statSync(to, { throwIfNoEntry: false });
  if (target?.size === source.size && target.mtimeMs >= source.mtimeMs) return;
  const temporary = `${to}.${process.pid}.tmp`;
  copyFileSync(from, temporary);
  chmodSync(temporary, 0o755);
  renameSync(temporary, to);
}
