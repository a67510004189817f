import { Counter, Histogram, type MetricsRegistry } from '@weft/telemetry';
import { LabelSets } from './label-sets.ts';
import type { DnsTransport } from './response-cache.ts';
import { typeName } from './protocol.ts';
import { workloadIdentity, type Workload } from '../state/workload.ts';
import { sourceLabelNames, sourceLabels } from '../telemetry/traffic-labels.ts';

const labelNames = [
  'request_query_type',
  'request_protocol',
  'source_canonical_service',
  'source_canonical_revision',
] as const;
type Labels = Readonly<Record<(typeof labelNames)[number], string>>;

/** Label sets that are kept; a node's pods come and go, and each may ask for every type. */
export const MAX_DNS_LABEL_SETS = 5_000;

/** The DNS metrics of Istio's ztunnel. */
export class DnsMetrics {
  private readonly requests: Counter<keyof Labels>;
  private readonly upstreamRequests: Counter<keyof Labels>;
  private readonly upstreamFailures: Counter<keyof Labels>;
  private readonly upstreamSeconds: Histogram<keyof Labels>;
  private readonly sets: LabelSets<Labels>;

  constructor(registry: MetricsRegistry) {
    const common = { labelNames, registers: [registry] };
    const counter = (name: string, help: string): Counter<keyof Labels> =>
      new Counter({ name, help, ...common });
    this.requests = counter('istio_dns_requests_total', 'Total number of DNS requests');
    this.upstreamRequests = counter(
      'istio_dns_upstream_requests_total',
      'Total number of DNS requests forwarded to upstream',
    );
    this.upstreamFailures = counter(
      'istio_dns_upstream_failures_total',
      'Total number of DNS requests that the upstream failed',
    );
    this.upstreamSeconds = new Histogram({
      name: 'istio_dns_upstream_request_duration_seconds',
      help: 'Total time in seconds that the upstream takes for a DNS request',
      buckets: [0.0005, 0.001, 0.01, 0.1, 1, 5],
      ...common,
    });
    this.sets = new LabelSets(
      [this.requests, this.upstreamRequests, this.upstreamFailures, this.upstreamSeconds],
      MAX_DNS_LABEL_SETS,
    );
  }

  request(client: Workload, type: number | undefined, transport: DnsTransport): Labels {
    const labels = {
      request_query_type: typeName(type).toLowerCase(),
      request_protocol: transport,
      source_canonical_service: client.canonicalName || 'unknown',
      source_canonical_revision: client.canonicalRevision || 'unknown',
    };
    this.sets.use(labels);
    this.requests.inc(labels);
    return labels;
  }

  upstream(labels: Labels, seconds: number, failed: boolean): void {
    this.upstreamRequests.inc(labels);
    this.upstreamSeconds.observe(labels, seconds);
    if (failed) this.upstreamFailures.inc(labels);
  }
}

const onDemandLabelNames = [...sourceLabelNames, 'hostname'] as const;
type OnDemandLabels = Readonly<Record<(typeof onDemandLabelNames)[number], string>>;

/** Connections whose endpoint had to be resolved by its name. */
export class OnDemandDnsMetric {
  private readonly counter: Counter<keyof OnDemandLabels>;
  private readonly sets: LabelSets<OnDemandLabels>;

  constructor(registry: MetricsRegistry) {
    this.counter = new Counter({
      name: 'istio_on_demand_dns_total',
      help: 'Total number of requests that used on-demand DNS',
      labelNames: onDemandLabelNames,
      registers: [registry],
    });
    this.sets = new LabelSets([this.counter], MAX_DNS_LABEL_SETS);
  }

  count(source: Workload, hostname: string): void {
    const labels = { ...sourceLabels(source, undefined, workloadIdentity(source)), hostname };
    this.sets.use(labels);
    this.counter.inc(labels);
  }
}
