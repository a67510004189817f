import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { systemErrorCode, type Logger } from '@weft/telemetry';
import { writeAtomically } from './atomic-write.ts';
import {
  planConfig,
  planRemoval,
  type Changes,
  type ConfigFile,
  type ConfigSettings,
} from './config-plan.ts';
import { RewriteStorm } from './rewrite-storm.ts';

export interface ConfigInstallerOptions extends ConfigSettings {
  /** The node's folder, as mounted here. */
  readonly confDir: string;
  /** Whether the group of a file may read it. */
  readonly groupRead: boolean;
  readonly logger: Logger;
}

/** `waiting`: there is no configuration to chain into yet. `throttled`: it is wrong, and was just put right too often. */
export type InstallState = 'waiting' | 'throttled' | 'unchanged' | 'written';

/** Keeps the plugin in the node's CNI configuration. */
export class ConfigInstaller {
  private readonly options: ConfigInstallerOptions;
  private readonly storm = new RewriteStorm();
  /** Since somebody was seen to fight over the primary configuration. */
  private contested = false;

  constructor(options: ConfigInstallerOptions) {
    this.options = options;
  }

  /** Makes the configuration right. */
  ensure(nowMs: number): InstallState {
    const { confDir, logger } = this.options;
    let plan = planConfig(this.options, readFiles(confDir), this.contested);
    if (plan.kind === 'wait') return 'waiting';
    if (plan.writes.length + plan.removes.length === 0) return 'unchanged';
    const decision = this.storm.decide(nowMs);
    if (decision === 'throttled') return 'throttled';
    if (decision === 'begins') {
      this.contested = true;
      logger.warn(
        'the CNI configuration is rewritten again and again; another CNI may be set to be the only one (Cilium: cni.exclusive=false)',
        { file: plan.writes[0]?.name, place: plan.place },
      );
      plan = planConfig(this.options, readFiles(confDir), this.contested);
      if (plan.kind === 'wait') return 'waiting';
    }
    this.apply(plan);
    logger.info('CNI configuration written', { file: plan.writes[0]?.name, place: plan.place });
    return 'written';
  }

  /** Takes our entry out of every configuration. */
  remove(): void {
    const { confDir, ownFileName } = this.options;
    this.apply(planRemoval(readFiles(confDir), ownFileName));
  }

  private apply(plan: Changes): void {
    const { confDir, groupRead } = this.options;
    for (const { name, text } of plan.writes)
      writeAtomically(path.join(confDir, name), text, 0o600, groupRead ? 0o040 : 0);
    for (const name of plan.removes) rmSync(path.join(confDir, name), { force: true });
  }
}

/** In the order in which container runtimes choose. A file that goes meanwhile is none. */
function readFiles(dir: string): readonly ConfigFile[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .filter((name) => /\.(conf|conflist|json)$/.test(name) && !name.startsWith('.'))
    .sort()
    .flatMap((name) => {
      try {
        return [{ name, text: readFileSync(path.join(dir, name), 'utf8') }];
      } catch (error) {
        if (['ENOENT', 'EISDIR'].includes(systemErrorCode(error) ?? '')) return [];
        throw error;
      }
    });
}
