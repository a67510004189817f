import type { Clock } from '@weft/telemetry';
import type { Probe } from '../pod.ts';
import type { HandlerOutcome } from './handlers.ts';

export interface ProberOptions {
  readonly probe: Probe;
  /** Before the first outcome: false for readiness and startup, true for liveness. */
  readonly initial: boolean;
  readonly attempt: (timeoutMs: number) => Promise<HandlerOutcome>;
  /** The outcome after thresholds changed; `message` is that of the last failure. */
  readonly onChange: (healthy: boolean, message: string) => void;
  /** Every single failure. */
  readonly onFailure: (message: string) => void;
  readonly clock: Clock;
}

/**
 * One probe of one run of a container:
 *
 *     waiting ──initialDelay──▶ probing ──threshold reached──▶ onChange
 *                                 ▲  │
 *                                 └──┘ every period
 */
export class Prober {
  private readonly options: ProberOptions;
  private healthy: boolean;
  private inARow = { ok: true, count: 0 };
  private cancel: () => void;
  private stopped = false;

  constructor(options: ProberOptions) {
    this.options = options;
    this.healthy = options.initial;
    this.cancel = options.clock.schedule(
      (options.probe.initialDelaySeconds ?? 0) * 1000,
      () => void this.run(),
    );
  }

  stop(): void {
    this.stopped = true;
    this.cancel();
  }

  private async run(): Promise<void> {
    const { probe, attempt, clock } = this.options;
    const startedAt = clock.now();
    const outcome = await attempt((probe.timeoutSeconds ?? 1) * 1000);
    if (this.stopped) return;
    this.judge(outcome);
    if (this.stopped) return; // onChange may have stopped us
    const spent = clock.now() - startedAt;
    this.cancel = clock.schedule(
      Math.max(0, (probe.periodSeconds ?? 10) * 1000 - spent),
      () => void this.run(),
    );
  }

  private judge(outcome: HandlerOutcome): void {
    const { probe, onChange, onFailure } = this.options;
    this.inARow = { ok: outcome.ok, count: this.inARow.ok === outcome.ok ? this.inARow.count + 1 : 1 };
    if (!outcome.ok) onFailure(outcome.message);
    const threshold = outcome.ok ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3);
    if (this.inARow.count < threshold) return;
    // A failing startup or liveness probe is acted upon each time its threshold is full: the container restarts.
    const changed = this.healthy !== outcome.ok;
    this.healthy = outcome.ok;
    if (changed || (!outcome.ok && this.inARow.count === threshold))
      onChange(outcome.ok, outcome.ok ? '' : outcome.message);
  }
}
