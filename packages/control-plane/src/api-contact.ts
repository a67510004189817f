import { type KubernetesClient, resources } from '@weft/kubernetes';
import { type Clock, type Gauge, type Logger, WeftError, describeError } from '@weft/telemetry';

export interface ApiContactOptions {
  readonly client: Pick<KubernetesClient, 'version'>;
  readonly reachable: Pick<Gauge, 'set'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

const PROBE_MS = 5_000;
const PROBE_TIMEOUT_MS = 4_000;
/** A single lost request is no outage. */
const LOST_AFTER_MS = 15_000;

/**
 * Whether the API server still answers. Losing it makes a replica no worse than the others, so it stays ready and
 * serves what it knew; but whoever looks is told that it may be outdated.
 */
export class ApiContact {
  /** Resolves when the signal has aborted. */
  readonly done: Promise<void>;
  private readonly options: ApiContactOptions;
  private lastAnswerAt: number;
  private lost = false;

  constructor(options: ApiContactOptions) {
    this.options = options;
    this.lastAnswerAt = options.clock.now();
    options.reachable.set(1);
    this.done = this.run();
  }

  /** For readiness: for how long there was no answer, while there is none. */
  get troubles(): string[] {
    if (!this.lost) return [];
    const seconds = Math.round((this.options.clock.now() - this.lastAnswerAt) / 1_000);
    return [`the Kubernetes API has not answered for ${seconds} s`];
  }

  private async run(): Promise<void> {
    const { client, clock, signal } = this.options;
    for (;;) {
      await clock.sleep(PROBE_MS, signal);
      if (signal.aborted) return;
      try {
        await client.version(resources.namespaces, {
          signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]),
        });
        this.lastAnswerAt = clock.now();
        this.turn(false);
      } catch (error) {
        if (signal.aborted) return;
        if (clock.now() - this.lastAnswerAt >= LOST_AFTER_MS) this.turn(true, error);
      }
    }
  }

  private turn(lost: boolean, cause?: unknown): void {
    const { reachable, logger } = this.options;
    if (this.lost === lost) return;
    this.lost = lost;
    reachable.set(lost ? 0 : 1);
    if (!lost) return logger.info('the Kubernetes API answers again');
    const error = new WeftError('WEFT1815', 'serving what was known', { cause });
    logger.warn('the Kubernetes API does not answer', { error: describeError(error) });
  }
}
