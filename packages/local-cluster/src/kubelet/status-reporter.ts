import { isDeepStrictEqual } from 'node:util';
import { isConflict, isNotFound } from '@weft/kubernetes';
import { Backoff, describeError, type Clock, type Logger } from '@weft/telemetry';
import type { PodStatus } from './pod.ts';

export interface StatusReporterOptions {
  /** What an earlier kubelet reported, when that was the pod's last word. */
  readonly initial: PodStatus | undefined;
  /** The present status, given the last report; undefined when there is nobody to report to. */
  readonly current: (last: PodStatus | undefined) => PodStatus | undefined;
  readonly write: (status: PodStatus) => Promise<void>;
  readonly podKey: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const RETRY = { initialMs: 500, maxMs: 10_000 };

/** Writes a pod's status whenever it differs from the last report, one write at a time. */
export class StatusReporter {
  private readonly options: StatusReporterOptions;
  private reported: PodStatus | undefined;
  private writing: Promise<void> | undefined;
  private again = false;

  constructor(options: StatusReporterOptions) {
    this.options = options;
    this.reported = options.initial;
  }

  get last(): PodStatus | undefined {
    return this.reported;
  }

  /** Soon; repeated calls fall together. */
  report(): void {
    this.again = true;
    this.writing ??= this.writeWhileChanged().finally(() => {
      this.writing = undefined;
    });
  }

  /** Resolves when the present status has been written, or there is nobody left to read it. */
  async settle(): Promise<void> {
    this.report();
    await this.writing;
  }

  private async writeWhileChanged(): Promise<void> {
    const { current, write, podKey, clock, logger } = this.options;
    const retry = new Backoff(RETRY);
    // Let what happens together be reported together.
    await Promise.resolve();
    while (this.again) {
      this.again = false;
      const status = current(this.reported);
      if (status === undefined) return;
      if (isDeepStrictEqual(status, this.reported)) continue;
      try {
        await write(status);
        this.reported = status;
      } catch (error) {
        if (isNotFound(error) || isConflict(error)) return; // the pod is gone; its watch will say so
        logger.warn('pod status not written, trying again', { pod: podKey, error: describeError(error) });
        await clock.sleep(retry.next());
        this.again = true;
      }
    }
  }
}

/** A finished pod's status doesn't change any more, whatever is released after it. */
export function isFinal({ phase }: PodStatus): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}
