import type { StatCounter, StatGauge, StatHistogram, StatsScope } from '../engine/types.ts';
import type { TlsFailureStat } from './connect/tls-connect.ts';
import type { EjectionReason } from './outlier-detection.ts';

/** Envoy's names below `cluster.<name>.`; the handles of what changes per connection or request. */
export class ClusterStats {
  readonly scope: StatsScope;
  readonly cxTotal: StatCounter;
  readonly cxActive: StatGauge;
  readonly cxHttp1Total: StatCounter;
  readonly cxHttp2Total: StatCounter;
  readonly cxConnectFail: StatCounter;
  readonly cxConnectTimeout: StatCounter;
  readonly cxConnectMs: StatHistogram;
  readonly cxLengthMs: StatHistogram;
  readonly cxOverflow: StatCounter;
  readonly cxPoolOverflow: StatCounter;
  readonly cxNoneHealthy: StatCounter;
  readonly cxDestroy: StatCounter;
  readonly cxDestroyLocal: StatCounter;
  readonly cxDestroyRemote: StatCounter;
  readonly cxDestroyWithActiveRq: StatCounter;
  readonly cxIdleTimeout: StatCounter;
  readonly cxMaxRequests: StatCounter;
  readonly cxMaxDuration: StatCounter;
  readonly cxProtocolError: StatCounter;
  readonly cxRxBytes: StatCounter;
  readonly cxTxBytes: StatCounter;
  readonly rqTotal: StatCounter;
  readonly rqActive: StatGauge;
  readonly rqPendingTotal: StatCounter;
  readonly rqPendingActive: StatGauge;
  readonly rqPendingOverflow: StatCounter;
  readonly rqPendingFailureEject: StatCounter;
  readonly rqCancelled: StatCounter;
  readonly rqRxReset: StatCounter;
  readonly rqTxReset: StatCounter;
  readonly rqRetryOverflow: StatCounter;
  readonly rqDropOverload: StatCounter;
  readonly membershipTotal: StatGauge;
  readonly membershipHealthy: StatGauge;
  readonly membershipDegraded: StatGauge;
  readonly membershipChange: StatCounter;
  readonly healthyPanic: StatCounter;
  readonly updateSuccess: StatCounter;
  readonly updateRejected: StatCounter;
  readonly updateFailure: StatCounter;
  readonly ejectionsActive: StatGauge;
  readonly sslHandshake: StatCounter;

  constructor(scope: StatsScope) {
    this.scope = scope;
    this.cxTotal = scope.counter('upstream_cx_total');
    this.cxActive = scope.gauge('upstream_cx_active');
    this.cxHttp1Total = scope.counter('upstream_cx_http1_total');
    this.cxHttp2Total = scope.counter('upstream_cx_http2_total');
    this.cxConnectFail = scope.counter('upstream_cx_connect_fail');
    this.cxConnectTimeout = scope.counter('upstream_cx_connect_timeout');
    this.cxConnectMs = scope.histogram('upstream_cx_connect_ms');
    this.cxLengthMs = scope.histogram('upstream_cx_length_ms');
    this.cxOverflow = scope.counter('upstream_cx_overflow');
    this.cxPoolOverflow = scope.counter('upstream_cx_pool_overflow');
    this.cxNoneHealthy = scope.counter('upstream_cx_none_healthy');
    this.cxDestroy = scope.counter('upstream_cx_destroy');
    this.cxDestroyLocal = scope.counter('upstream_cx_destroy_local');
    this.cxDestroyRemote = scope.counter('upstream_cx_destroy_remote');
    this.cxDestroyWithActiveRq = scope.counter('upstream_cx_destroy_with_active_rq');
    this.cxIdleTimeout = scope.counter('upstream_cx_idle_timeout');
    this.cxMaxRequests = scope.counter('upstream_cx_max_requests');
    this.cxMaxDuration = scope.counter('upstream_cx_max_duration_reached');
    this.cxProtocolError = scope.counter('upstream_cx_protocol_error');
    this.cxRxBytes = scope.counter('upstream_cx_rx_bytes_total');
    this.cxTxBytes = scope.counter('upstream_cx_tx_bytes_total');
    this.rqTotal = scope.counter('upstream_rq_total');
    this.rqActive = scope.gauge('upstream_rq_active');
    this.rqPendingTotal = scope.counter('upstream_rq_pending_total');
    this.rqPendingActive = scope.gauge('upstream_rq_pending_active');
    this.rqPendingOverflow = scope.counter('upstream_rq_pending_overflow');
    this.rqPendingFailureEject = scope.counter('upstream_rq_pending_failure_eject');
    this.rqCancelled = scope.counter('upstream_rq_cancelled');
    this.rqRxReset = scope.counter('upstream_rq_rx_reset');
    this.rqTxReset = scope.counter('upstream_rq_tx_reset');
    this.rqRetryOverflow = scope.counter('upstream_rq_retry_overflow');
    this.rqDropOverload = scope.counter('upstream_rq_drop_overload');
    this.membershipTotal = scope.gauge('membership_total');
    this.membershipHealthy = scope.gauge('membership_healthy');
    this.membershipDegraded = scope.gauge('membership_degraded');
    this.membershipChange = scope.counter('membership_change');
    this.healthyPanic = scope.counter('lb_healthy_panic');
    this.updateSuccess = scope.counter('update_success');
    this.updateRejected = scope.counter('update_rejected');
    this.updateFailure = scope.counter('update_failure');
    this.ejectionsActive = scope.gauge('outlier_detection.ejections_active');
    this.sslHandshake = scope.counter('ssl.handshake');
  }

  tlsFailure(stat: TlsFailureStat): void {
    this.scope.counter(`ssl.${stat}`).add();
  }

  ejection(reason: EjectionReason, outcome: 'ejected' | 'not-enforced' | 'overflow'): void {
    this.scope.counter(`outlier_detection.ejections_detected_${reason}`).add();
    if (outcome === 'overflow') this.scope.counter('outlier_detection.ejections_overflow').add();
    if (outcome !== 'ejected') return;
    this.scope.counter('outlier_detection.ejections_enforced_total').add();
    this.scope.counter(`outlier_detection.ejections_enforced_${reason}`).add();
  }
}
