import type { Clock } from '@weft/telemetry';
import type {
  Cluster,
  Endpoint,
  HttpStream,
  HttpStreamEvents,
  UpstreamContext,
  UpstreamFailure,
  UpstreamInfo,
} from '../../engine/types.ts';
import { scheduleDeadline } from '../manager/deadline.ts';
import { IdleTimer } from '../manager/idle-timer.ts';
import { TcpTunnel } from './tcp-tunnel.ts';

export interface AttemptHandlers {
  /** A stream is there. @returns who gets its events. */
  onReady(stream: HttpStream, upstream: UpstreamInfo): HttpStreamEvents;
  onFailure(failure: UpstreamFailure): void;
}

/**
 * One try at one endpoint, with its own times.
 *
 *   opening ─onReady─► streaming ─end, reset─► over
 *      └──────── onFailure, abandon ────────────┘
 */
export class Attempt {
  readonly endpoint: Endpoint;
  readonly startedAt: number;
  /** Undefined while it is being opened, and when it failed. */
  stream: HttpStream | undefined;
  requestSent = false;
  private readonly clock: Clock;
  private idle: IdleTimer | undefined;
  private cancelTimer: () => void = () => undefined;
  private cancelOpening: () => void = () => undefined;

  constructor(endpoint: Endpoint, clock: Clock) {
    this.endpoint = endpoint;
    this.clock = clock;
    this.startedAt = clock.now();
  }

  /** @param terminate the CONNECT ends here: what is opened is a connection, not a stream. */
  open(cluster: Cluster, context: UpstreamContext, terminate: boolean, handlers: AttemptHandlers): void {
    const pending = terminate
      ? cluster.connect(this.endpoint, context, {
          onConnected: (connection, upstream) => {
            const tunnel = new TcpTunnel(connection);
            tunnel.attach(handlers.onReady(tunnel, upstream));
          },
          onFailure: (failure) => handlers.onFailure(failure),
        })
      : cluster.openStream(this.endpoint, context, handlers);
    this.cancelOpening = () => pending.cancel();
  }

  /** @param over nothing of it is under way any more. */
  abandon(over: boolean): void {
    this.stopTimers();
    this.cancelOpening();
    if (!over) this.stream?.reset('local-reset');
  }

  armTimeout(ms: number, onTimeout: () => void): void {
    this.cancelTimer();
    this.cancelTimer = scheduleDeadline(this.clock, ms, onTimeout);
  }

  armIdleTimeout(ms: number, onTimeout: () => void): void {
    this.idle = new IdleTimer(this.clock, ms, onTimeout);
  }

  touch(): void {
    this.idle?.touch();
  }

  stopTimers(): void {
    this.idle?.stop();
    this.cancelTimer();
    this.cancelTimer = () => undefined;
  }
}
