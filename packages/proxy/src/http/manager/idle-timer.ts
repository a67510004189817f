import type { Clock } from '@weft/telemetry';
import { scheduleDeadline } from './deadline.ts';

/** Fires when nothing touched it for a time. Touching costs an assignment; one timer runs. */
export class IdleTimer {
  private readonly clock: Clock;
  private readonly timeoutMs: number;
  private readonly onIdle: () => void;
  private lastMs: number;
  private cancel: () => void;
  private stopped = false;

  constructor(clock: Clock, timeoutMs: number, onIdle: () => void) {
    this.clock = clock;
    this.timeoutMs = timeoutMs;
    this.onIdle = onIdle;
    this.lastMs = clock.now();
    this.cancel = scheduleDeadline(clock, timeoutMs, () => this.check());
  }

  touch(): void {
    this.lastMs = this.clock.now();
  }

  stop(): void {
    this.stopped = true;
    this.cancel();
  }

  private check(): void {
    if (this.stopped) return;
    const left = this.lastMs + this.timeoutMs - this.clock.now();
    if (left <= 0) this.onIdle();
    else this.cancel = scheduleDeadline(this.clock, left, () => this.check());
  }
}
