import { readdirSync, readFileSync } from 'node:fs';
import { Counter, Gauge, Histogram, type MetricsRegistry } from '@weft/telemetry';
import { TrafficSeries } from './traffic-series.ts';
import type { PodManager } from '../inpod/pod-manager.ts';

/** The metrics of Istio's ztunnel under its names, and one of ours: errors by code. */
export class ZtunnelMetrics {
  readonly traffic: TrafficSeries;
  readonly crlRejections: Counter<'reporter'>;
  readonly errors: Counter<'code'>;
  /** What a new connection waits for between its data thread's question and the control thread's order. */
  readonly planRoundTrip: Histogram;
  readonly xdsTerminations: Counter<'reason'>;
  readonly xdsMessages: Counter<'url'>;
  readonly xdsMessageBytes: Counter<'url'>;

  constructor(
    registry: MetricsRegistry,
    options: { readonly istioVersion: string; readonly pods: () => PodManager | undefined },
  ) {
    const registers = [registry];
    this.traffic = new TrafficSeries(registry);
    this.crlRejections = new Counter({
      name: 'istio_crl_policy_rejections_total',
      help: 'The total number of connections refused or cut because of a revoked certificate',
      labelNames: ['reporter'],
      registers,
    });
    // Every connection here is in reach of a list that comes later; the name is kept for dashboards.
    new Counter({
      name: 'istio_crl_untracked_connections_total',
      help: 'The total number of connections that later revocations cannot cut',
      labelNames: ['reporter'],
      registers,
    });
    this.errors = new Counter({
      name: 'weft_errors_total',
      help: 'Errors by their code; docs/errors.md explains each',
      labelNames: ['code'],
      registers,
    });
    this.planRoundTrip = new Histogram({
      name: 'weft_plan_round_trip_seconds',
      help: 'How long data threads waited for the decision about a connection',
      buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1, 5],
      registers,
    });
    this.xdsTerminations = new Counter({
      name: 'istio_xds_connection_terminations_total',
      help: 'The total number of completed connections to the control plane',
      labelNames: ['reason'],
      registers,
    });
    this.xdsMessages = new Counter({
      name: 'istio_xds_message_total',
      help: 'The total number of messages received from the control plane',
      labelNames: ['url'],
      registers,
    });
    this.xdsMessageBytes = new Counter({
      name: 'istio_xds_message_bytes_total',
      help: 'The total number of bytes received from the control plane',
      labelNames: ['url'],
      registers,
    });
    new Gauge({ name: 'istio_build', help: 'Build info', labelNames: ['component', 'tag'], registers }).set(
      { component: 'ztunnel', tag: options.istioVersion },
      1,
    );
    collected(
      registers,
      'workload_manager_active_proxy_count',
      'The number of proxies running',
      () => options.pods()?.activeCount ?? 0,
    );
    collected(
      registers,
      'workload_manager_pending_proxy_count',
      'The number of proxies pending',
      () => options.pods()?.pendingCount ?? 0,
    );
    collectedCounter(
      registers,
      'workload_manager_proxies_started_total',
      'The number of proxies started',
      () => options.pods()?.counts.started ?? 0,
    );
    collectedCounter(
      registers,
      'workload_manager_proxies_stopped_total',
      'The number of proxies stopped',
      () => options.pods()?.counts.stopped ?? 0,
    );
    collected(
      registers,
      'process_open_fds',
      'The number of open file descriptors',
      () => readdirSync('/proc/self/fd').length,
    );
    collected(registers, 'process_max_fds', 'The limit of open file descriptors', maxFds);
  }
}

function collected(registers: MetricsRegistry[], name: string, help: string, read: () => number): void {
  const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(read()) });
}

function collectedCounter(
  registers: MetricsRegistry[],
  name: string,
  help: string,
  read: () => number,
): void {
  const counter: Counter = new Counter({
    name,
    help,
    registers,
    collect: () => {
      counter.reset();
      counter.inc(read());
    },
  });
}

function maxFds(): number {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return Number(limit ?? 0);
}
