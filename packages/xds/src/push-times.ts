import type { ConnectionOptions } from './server-connection.ts';

/** How long changes wait for a stream: until its push begins, and until that is written. */
export class PushTimes {
  private readonly options: Pick<ConnectionOptions, 'clock' | 'onQueued' | 'onConverged'>;
  /** Of the oldest change that waits. */
  private changedAt: number | undefined;
  private queuedAt: number | undefined;

  constructor(options: Pick<ConnectionOptions, 'clock' | 'onQueued' | 'onConverged'>) {
    this.options = options;
  }

  waits(changedAt: number): void {
    this.changedAt ??= changedAt;
    this.queuedAt ??= this.options.clock.now();
  }

  /** What waits is written now. Returns when the oldest change of it was made; undefined if it only answers a request. */
  begin(): number | undefined {
    const { changedAt, queuedAt } = this;
    this.changedAt = undefined;
    this.queuedAt = undefined;
    if (queuedAt !== undefined) this.options.onQueued(this.options.clock.now() - queuedAt);
    return changedAt;
  }

  written(changedAt: number | undefined): void {
    if (changedAt !== undefined) this.options.onConverged(this.options.clock.now() - changedAt);
  }
}
