import type { StatCounter, StatHistogram, StatsScope, StreamInfo } from '../../engine/types.ts';
import type { GrpcMessageCounts } from '../grpc-stats.ts';
import { istioLabels, type LabelContext, type Labels } from './labels.ts';

/** Label sets whose handles are remembered; beyond, they are looked up anew. */
export const MAX_CACHED_SERIES = 4_096;

export interface MetricOverride {
  /** Without `istio_`; empty for all. */
  readonly name: string;
  readonly drop: boolean;
  readonly remove: readonly string[];
  readonly constants: Labels;
}

type CounterName =
  | 'requests_total'
  | 'request_messages_total'
  | 'response_messages_total'
  | 'tcp_connections_opened_total'
  | 'tcp_connections_closed_total'
  | 'tcp_sent_bytes_total'
  | 'tcp_received_bytes_total';
type HistogramName = 'request_duration_milliseconds' | 'request_bytes' | 'response_bytes';

interface Series {
  readonly counters: Map<CounterName, StatCounter | undefined>;
  readonly histograms: Map<HistogramName, StatHistogram | undefined>;
}

/** Istio's metrics of one filter. A request costs one look-up of its label set. */
export class IstioMetrics {
  private readonly stats: StatsScope;
  private readonly overrides: readonly MetricOverride[];
  private readonly series = new Map<string, Series>();

  constructor(stats: StatsScope, overrides: readonly MetricOverride[] = []) {
    this.stats = stats;
    this.overrides = overrides;
  }

  reportRequest(info: StreamInfo, context: LabelContext, grpc: GrpcMessageCounts | undefined): void {
    const labels = istioLabels(info, context);
    const { timings } = info;
    this.count('requests_total', labels, 1);
    this.record('request_duration_milliseconds', labels, (timings.end ?? performance.now()) - timings.start);
    this.record('request_bytes', labels, info.bytesReceived);
    this.record('response_bytes', labels, info.bytesSent);
    if (grpc === undefined) return;
    this.count('request_messages_total', labels, grpc.requestMessages);
    this.count('response_messages_total', labels, grpc.responseMessages);
  }

  reportConnection(
    context: LabelContext,
    report: {
      readonly opened: boolean;
      readonly closed: boolean;
      readonly received: number;
      readonly sent: number;
    },
    info: StreamInfo,
  ): void {
    const labels = istioLabels(info, context);
    if (report.opened) this.count('tcp_connections_opened_total', labels, 1);
    if (report.received > 0) this.count('tcp_received_bytes_total', labels, report.received);
    if (report.sent > 0) this.count('tcp_sent_bytes_total', labels, report.sent);
    if (report.closed) this.count('tcp_connections_closed_total', labels, 1);
  }

  private count(name: CounterName, labels: Labels, n: number): void {
    const { counters } = this.seriesOf(labels);
    if (!counters.has(name)) {
      const adjusted = this.adjust(name, labels);
      counters.set(name, adjusted && this.stats.counter(`istio_${name}`, adjusted));
    }
    counters.get(name)?.add(n);
  }

  private record(name: HistogramName, labels: Labels, value: number): void {
    const { histograms } = this.seriesOf(labels);
    if (!histograms.has(name)) {
      const adjusted = this.adjust(name, labels);
      histograms.set(name, adjusted && this.stats.histogram(`istio_${name}`, adjusted));
    }
    histograms.get(name)?.record(value);
  }

  private seriesOf(labels: Labels): Series {
    const key = Object.values(labels).join('\0');
    let series = this.series.get(key);
    if (series === undefined) {
      series = { counters: new Map(), histograms: new Map() };
      if (this.series.size >= MAX_CACHED_SERIES) this.series.clear();
      this.series.set(key, series);
    }
    return series;
  }

  /** Undefined when the metric is dropped. */
  private adjust(name: string, labels: Labels): Labels | undefined {
    let result: Record<string, string> = { ...labels };
    for (const o of this.overrides) {
      if (o.name !== '' && o.name !== name) continue;
      if (o.drop) return undefined;
      result = { ...result, ...o.constants };
      for (const label of o.remove) delete result[label];
    }
    return result;
  }
}
