import { mkdirSync, watch, type FSWatcher } from 'node:fs';
import { describeError, systemClock, type Logger } from '@weft/telemetry';
import type { ConfigInstaller, InstallState } from './config-installer.ts';
import type { KubeconfigFile } from './kubeconfig-file.ts';

export interface InstallationOptions {
  readonly confDir: string;
  readonly config: ConfigInstaller;
  readonly kubeconfig: KubeconfigFile;
  readonly logger: Logger;
  /** Told after each look; an error counts as not installed. */
  readonly onState: (state: InstallState | 'failed') => void;
}

/** Also notices what the watcher misses, and tokens that were replaced. */
const CHECK_MS = 5_000;

/** Keeps the plugin's configuration and credentials as they should be, from `start` until `close`. */
export class Installation {
  private readonly options: InstallationOptions;
  private watcher: FSWatcher | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(options: InstallationOptions) {
    this.options = options;
  }

  start(): void {
    const { confDir, logger } = this.options;
    mkdirSync(confDir, { recursive: true });
    this.watcher = watch(confDir, () => this.check()).on('error', (error) =>
      logger.warn('the CNI configuration is not watched any more', { error: describeError(error) }),
    );
    this.timer = setInterval(() => this.check(), CHECK_MS);
    this.check();
  }

  close(): void {
    clearInterval(this.timer);
    this.watcher?.close();
  }

  /** Nothing of the plugin's configuration or credentials stays. */
  remove(): void {
    this.close();
    this.options.config.remove();
    this.options.kubeconfig.remove();
  }

  private check(): void {
    const { config, kubeconfig, logger, onState } = this.options;
    try {
      kubeconfig.refresh();
      onState(config.ensure(systemClock.now()));
    } catch (error) {
      onState('failed');
      logger.error('CNI configuration not written', { error: describeError(error) });
    }
  }
}
