import type { Collection } from '@weft/collections';
import { Counter, Gauge, Histogram, type PrometheusRegistry } from '@weft/telemetry';

/** Istio's names where the meaning is the same, so that its dashboard shows data. */
export interface ControlPlaneMetrics {
  readonly connections: Gauge<'version'>;
  readonly pushes: Counter<'type'>;
  readonly rejections: Counter;
  /** By error code. */
  readonly refusals: Counter<'code'>;
  readonly convergenceSeconds: Histogram;
  readonly events: Counter<'type' | 'event'>;
  readonly replacedWatches: Counter<'type'>;
  readonly computationErrors: Counter<'collection'>;
}

const CONVERGENCE_BUCKETS = [0.01, 0.05, 0.1, 0.2, 0.5, 1, 3, 5, 10, 20, 30];

export function createControlPlaneMetrics(
  registry: PrometheusRegistry,
  version: string,
): ControlPlaneMetrics {
  const registers = [registry];
  new Gauge({
    name: 'pilot_info',
    help: 'Version of the control plane',
    labelNames: ['version'],
    registers,
  }).set({ version }, 1);
  return {
    connections: new Gauge({
      name: 'pilot_xds',
      help: 'Proxies connected by xDS',
      labelNames: ['version'],
      registers,
    }),
    pushes: new Counter({
      name: 'pilot_xds_pushes',
      help: 'Pushes by type',
      labelNames: ['type'],
      registers,
    }),
    rejections: new Counter({
      name: 'pilot_total_xds_rejects',
      help: 'Pushes that a proxy rejected',
      registers,
    }),
    refusals: new Counter({
      name: 'weft_xds_refusals',
      help: 'Connections and streams to the xDS ports that were refused, by error code',
      labelNames: ['code'],
      registers,
    }),
    convergenceSeconds: new Histogram({
      name: 'pilot_proxy_convergence_time',
      help: 'From a change to the moment at which it was sent to a proxy',
      buckets: CONVERGENCE_BUCKETS,
      registers,
    }),
    events: new Counter({
      name: 'pilot_k8s_reg_events',
      help: 'Changes received from the Kubernetes API',
      labelNames: ['type', 'event'],
      registers,
    }),
    replacedWatches: new Counter({
      name: 'weft_watches_replaced',
      help: 'Watches of the Kubernetes API that were open but dead',
      labelNames: ['type'],
      registers,
    }),
    computationErrors: new Counter({
      name: 'weft_collections_errors',
      help: 'Keys whose derived value could not be computed',
      labelNames: ['collection'],
      registers,
    }),
  };
}

/** Sizes are read when somebody asks. */
export function registerSizes(
  registry: PrometheusRegistry,
  sizes: Readonly<Record<string, { readonly help: string; readonly of: Collection<unknown> }>>,
): void {
  for (const [name, { help, of }] of Object.entries(sizes)) {
    const gauge: Gauge = new Gauge({ name, help, registers: [registry], collect: () => gauge.set(of.size) });
  }
}
