import type { Clock } from '@weft/telemetry';
import type { HeaderMap, LocalReply } from '../../engine/types.ts';
import type { ChosenRoute } from '../route/route.ts';
import type { ManagerConfig } from './config.ts';
import { IdleTimer } from './idle-timer.ts';
import type { ManagerStats } from './stats.ts';
import { applyStreamDuration } from './stream-duration.ts';

/** The times of one exchange: until the request is here, without any byte, and in all. */
export class ExchangeTimers {
  private readonly clock: Clock;
  private readonly stats: ManagerStats;
  private readonly onTimeout: (reply: LocalReply) => void;
  private readonly maxStreamMs: number;
  private requestEnded = false;
  private idle: IdleTimer | undefined;
  private cancelRequest: () => void = () => undefined;
  private cancelDuration: () => void = () => undefined;

  /** @param onTimeout is given what the client is to be told. */
  constructor({ engine, timeouts, stats }: ManagerConfig, onTimeout: (reply: LocalReply) => void) {
    this.clock = engine.clock;
    this.stats = stats;
    this.onTimeout = onTimeout;
    const { requestMs, streamIdleMs, maxStreamMs } = timeouts;
    this.maxStreamMs = maxStreamMs;
    if (requestMs > 0) this.cancelRequest = this.clock.schedule(requestMs, () => this.requestTimedOut());
    this.setIdle(streamIdleMs);
  }

  /** What the route says of times goes before what the connection manager says. */
  applyRoute(headers: HeaderMap, route: ChosenRoute | undefined): void {
    const action = route?.route.action;
    const forward = action?.kind === 'forward' ? action.forward : undefined;
    const ms = applyStreamDuration(headers, forward, this.maxStreamMs);
    if (ms !== undefined) this.cancelDuration = this.clock.schedule(ms, () => this.durationReached());
    if (forward?.idleTimeoutMs !== undefined) this.setIdle(forward.idleTimeoutMs);
  }

  /** @param ms 0: none. */
  private setIdle(ms: number): void {
    this.idle?.stop();
    this.idle = ms > 0 ? new IdleTimer(this.clock, ms, () => this.idleTimedOut()) : undefined;
  }

  /** A byte went through. */
  touch(): void {
    this.idle?.touch();
  }

  onRequestEnd(): void {
    this.requestEnded = true;
    this.cancelRequest();
  }

  /** The request has no end that could be late. */
  onTunnel(): void {
    this.cancelRequest();
  }

  stop(): void {
    this.idle?.stop();
    this.cancelRequest();
    this.cancelDuration();
  }

  private requestTimedOut(): void {
    this.stats.timeouts.add();
    this.onTimeout({ status: 408, body: 'request timeout', details: 'request_overall_timeout' });
  }

  private idleTimedOut(): void {
    this.stats.streamIdleTimeouts.add();
    this.onTimeout({
      status: this.lateStatus(),
      body: 'stream timeout',
      details: 'stream_idle_timeout',
      flag: 'SI',
    });
  }

  private durationReached(): void {
    this.stats.maxStreamDurations.add();
    this.onTimeout({
      status: this.lateStatus(),
      body: 'downstream duration timeout',
      details: 'max_duration_timeout',
      grpcStatus: 4,
    });
  }

  /** Whose fault it is. */
  private lateStatus(): 408 | 504 {
    return this.requestEnded ? 504 : 408;
  }
}
