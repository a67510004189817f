import type { Clock } from '@weft/telemetry';
import type { Container, Probe } from '../pod.ts';
import type { HandlerOutcome } from './handlers.ts';
import { Prober } from './prober.ts';

export interface ContainerProbesOptions {
  readonly spec: Pick<Container, 'startupProbe' | 'livenessProbe' | 'readinessProbe'>;
  readonly attempt: (probe: Probe, timeoutMs: number) => Promise<HandlerOutcome>;
  /** `started` or `ready` has changed. */
  readonly onChange: () => void;
  /** A startup or liveness probe has failed as often as it may. */
  readonly onUnhealthy: (kind: 'startup' | 'liveness', message: string, probe: Probe) => void;
  /** A single failure of any probe. */
  readonly onFailure: (message: string) => void;
  readonly clock: Clock;
}

/**
 * The probes of one run of a container:
 *
 *     startup ──succeeds──▶ started: liveness and readiness side by side, until `stop`
 */
export class ContainerProbes {
  private readonly options: ContainerProbesOptions;
  private probers: Prober[] = [];
  private hasStarted = false;
  private isReady = false;

  constructor(options: ContainerProbesOptions) {
    this.options = options;
    const { startupProbe } = options.spec;
    if (startupProbe === undefined) {
      this.begin();
      return;
    }
    this.add('Startup', startupProbe, false, (healthy, message) => {
      if (!healthy) return options.onUnhealthy('startup', message, startupProbe);
      this.stop();
      this.begin();
      options.onChange();
    });
  }

  get started(): boolean {
    return this.hasStarted;
  }

  get ready(): boolean {
    return this.isReady;
  }

  stop(): void {
    for (const prober of this.probers) prober.stop();
    this.probers = [];
  }

  private begin(): void {
    const { spec, onUnhealthy, onChange } = this.options;
    const { livenessProbe, readinessProbe } = spec;
    this.hasStarted = true;
    this.isReady = readinessProbe === undefined;
    if (livenessProbe !== undefined) {
      this.add('Liveness', livenessProbe, true, (healthy, message) => {
        if (!healthy) onUnhealthy('liveness', message, livenessProbe);
      });
    }
    if (readinessProbe !== undefined) {
      this.add('Readiness', readinessProbe, false, (healthy) => {
        this.isReady = healthy;
        onChange();
      });
    }
  }

  private add(
    name: string,
    probe: Probe,
    initial: boolean,
    onChange: (healthy: boolean, message: string) => void,
  ): void {
    const { attempt, onFailure, clock } = this.options;
    this.probers.push(
      new Prober({
        probe,
        initial,
        onChange,
        clock,
        attempt: (timeoutMs) => attempt(probe, timeoutMs),
        onFailure: (message) => onFailure(`${name} probe failed: ${message}`),
      }),
    );
  }
}
