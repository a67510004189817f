import type { LocalReply, StatCounter, StatGauge, StatHistogram, StatsScope } from '../../engine/types.ts';

/** `http.<stat_prefix>.` */
export class ManagerStats {
  readonly connections: StatCounter;
  readonly activeConnections: StatGauge;
  readonly http1: StatCounter;
  readonly http2: StatCounter;
  readonly protocolErrors: StatCounter;
  readonly idleTimeouts: StatCounter;
  readonly drainClosed: StatCounter;
  readonly maxDurationReached: StatCounter;
  private readonly requests: StatCounter;
  private readonly activeRequests: StatGauge;
  private readonly completed: StatCounter;
  readonly timeouts: StatCounter;
  readonly headerTimeouts: StatCounter;
  readonly streamIdleTimeouts: StatCounter;
  readonly maxStreamDurations: StatCounter;
  readonly receivedResets: StatCounter;
  readonly tooLarge: StatCounter;
  private readonly noRoute: StatCounter;
  private readonly noCluster: StatCounter;
  private readonly directResponses: StatCounter;
  private readonly time: StatHistogram;
  private readonly classes: readonly StatCounter[];

  constructor(scope: StatsScope) {
    this.connections = scope.counter('downstream_cx_total');
    this.activeConnections = scope.gauge('downstream_cx_active');
    this.http1 = scope.counter('downstream_cx_http1_total');
    this.http2 = scope.counter('downstream_cx_http2_total');
    this.protocolErrors = scope.counter('downstream_cx_protocol_error');
    this.idleTimeouts = scope.counter('downstream_cx_idle_timeout');
    this.drainClosed = scope.counter('downstream_cx_drain_close');
    this.maxDurationReached = scope.counter('downstream_cx_max_duration_reached');
    this.requests = scope.counter('downstream_rq_total');
    this.activeRequests = scope.gauge('downstream_rq_active');
    this.completed = scope.counter('downstream_rq_completed');
    this.timeouts = scope.counter('downstream_rq_timeout');
    this.headerTimeouts = scope.counter('downstream_rq_header_timeout');
    this.streamIdleTimeouts = scope.counter('downstream_rq_idle_timeout');
    this.maxStreamDurations = scope.counter('downstream_rq_max_duration_reached');
    this.receivedResets = scope.counter('downstream_rq_rx_reset');
    this.tooLarge = scope.counter('downstream_rq_too_large');
    this.noRoute = scope.counter('no_route');
    this.noCluster = scope.counter('no_cluster');
    this.directResponses = scope.counter('rq_direct_response');
    this.time = scope.histogram('downstream_rq_time');
    this.classes = [1, 2, 3, 4, 5].map((n) => scope.counter(`downstream_rq_${n}xx`));
  }

  localReply({ flag, details }: LocalReply): void {
    if (flag === 'NR') this.noRoute.add();
    if (flag === 'NC') this.noCluster.add();
    if (details === 'direct_response') this.directResponses.add();
  }

  requestBegun(): void {
    this.requests.add();
    this.activeRequests.add();
  }

  requestOver(status: number, ms: number): void {
    this.activeRequests.sub();
    this.completed.add();
    this.classes[Math.floor(status / 100) - 1]?.add();
    this.time.record(ms);
  }
}
