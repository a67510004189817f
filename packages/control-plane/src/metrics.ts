import { Counter, Gauge, Histogram, type PrometheusRegistry } from '@weft/telemetry';

/** Istio's names where the meaning is the same, so that its dashboard shows data. */
export interface ControlPlaneMetrics {
  readonly connections: Gauge<'version'>;
  readonly pushes: Counter<'type'>;
  readonly rejections: Counter;
  /** By error code. */
  readonly refusals: Counter<'code'>;
  /** By short type: what Istio counts for each of Envoy's own types. */
  readonly rejectionsByType: ReadonlyMap<string, Counter>;
  readonly expiredNonces: Counter;
  readonly convergenceSeconds: Histogram;
  readonly queueSeconds: Histogram;
  readonly debounceSeconds: Histogram;
  readonly pushSeconds: Histogram<'type'>;
  readonly sendSeconds: Histogram;
  readonly configBytes: Histogram<'type'>;
  readonly triggers: Counter<'type'>;
  readonly inboundUpdates: Counter<'type'>;
  readonly writeTimeouts: Counter;
  readonly internalErrors: Counter;
  /** Of deriving what a change of the cluster makes of what proxies are told. */
  readonly computationSeconds: Histogram;
  /** 1 while the API server answers. */
  readonly apiReachable: Gauge;
  /** 1 while what the ConfigMap says is in force. */
  readonly meshConfigValid: Gauge;
  /** Of what runs, and of what users configure. */
  readonly events: { inc(labels: { readonly type: string; readonly event: string }): void };
  readonly replacedWatches: Counter<'type'>;
  readonly computationErrors: Counter<'collection'>;
}

const DURATION_BUCKETS = [0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30];
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
  new Gauge({
    name: 'istiod_managed_clusters',
    help: 'Clusters whose objects are read',
    labelNames: ['cluster_type'],
    registers,
  }).set({ cluster_type: 'local' }, 1);
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
    rejectionsByType: new Map(
      [
        ['Cluster', 'cds'],
        ['ClusterLoadAssignment', 'eds'],
        ['Listener', 'lds'],
        ['RouteConfiguration', 'rds'],
      ].map(([type = '', short = '']) => [
        type,
        new Counter({
          name: `pilot_xds_${short}_reject`,
          help: `Rejected pushes of type ${type}`,
          registers,
        }),
      ]),
    ),
    expiredNonces: new Counter({
      name: 'pilot_xds_expired_nonce',
      help: 'Requests about an older response than the last one',
      registers,
    }),
    queueSeconds: new Histogram({
      name: 'pilot_proxy_queue_time',
      help: 'For how long a push waited before it was made for a proxy',
      buckets: DURATION_BUCKETS,
      registers,
    }),
    debounceSeconds: new Histogram({
      name: 'pilot_debounce_time',
      help: 'From the first change of a burst to its push',
      buckets: DURATION_BUCKETS,
      registers,
    }),
    pushSeconds: new Histogram({
      name: 'pilot_xds_push_time',
      help: 'For how long a push of a type took for a proxy',
      labelNames: ['type'],
      buckets: DURATION_BUCKETS,
      registers,
    }),
    sendSeconds: new Histogram({
      name: 'pilot_xds_send_time',
      help: 'For how long a message waited for its proxy to read',
      buckets: DURATION_BUCKETS,
      registers,
    }),
    configBytes: new Histogram({
      name: 'pilot_xds_config_size_bytes',
      help: 'Size of what is sent at once of a type',
      labelNames: ['type'],
      buckets: [1e4, 1e6, 4e6, 1e7, 4e7],
      registers,
    }),
    triggers: new Counter({
      name: 'pilot_push_triggers',
      help: 'Pushes by what made them necessary',
      labelNames: ['type'],
      registers,
    }),
    inboundUpdates: new Counter({
      name: 'pilot_inbound_updates',
      help: 'Changes of what is derived, by type',
      labelNames: ['type'],
      registers,
    }),
    apiReachable: new Gauge({
      name: 'weft_kubernetes_api_reachable',
      help: '1 while the Kubernetes API answers, 0 while proxies are served what was known before',
      registers,
    }),
    meshConfigValid: new Gauge({
      name: 'weft_mesh_config_valid',
      help: '1 while the mesh configuration is in force, 0 while it is invalid and the last valid one stays',
      registers,
    }),
    convergenceSeconds: new Histogram({
      name: 'pilot_proxy_convergence_time',
      help: 'From a change to the moment at which it was sent to a proxy',
      buckets: CONVERGENCE_BUCKETS,
      registers,
    }),
    writeTimeouts: new Counter({
      name: 'pilot_xds_write_timeout',
      help: 'Messages that a proxy had not read after half a minute',
      registers,
    }),
    internalErrors: new Counter({
      name: 'pilot_total_xds_internal_errors',
      help: 'Streams that ended because what they were to get could not be made',
      registers,
    }),
    computationSeconds: new Histogram({
      name: 'pilot_pushcontext_init_seconds',
      help: 'For how long deriving what a change means to proxies took',
      buckets: CONVERGENCE_BUCKETS,
      registers,
    }),
    events: createEventCounters(registry),
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

/** Kinds that istiod keeps in its registry of what runs; of all others it says that they are configuration. */
const registryKinds: ReadonlySet<string> = new Set([
  'Pod',
  'Service',
  'EndpointSlice',
  'Namespace',
  'Node',
  'ServiceAccount',
]);

function createEventCounters(registry: PrometheusRegistry): ControlPlaneMetrics['events'] {
  const counter = (name: string, help: string) =>
    new Counter({ name, help, labelNames: ['type', 'event'], registers: [registry] });
  const registered = counter(
    'pilot_k8s_reg_events',
    'Changes of what runs, received from the Kubernetes API',
  );
  const configured = counter(
    'pilot_k8s_cfg_events',
    'Changes of configuration, received from the Kubernetes API',
  );
  return { inc: (labels) => (registryKinds.has(labels.type) ? registered : configured).inc(labels) };
}

/** Values that are read when somebody asks. */
export function registerReadings(
  registry: PrometheusRegistry,
  readings: Readonly<Record<string, { readonly help: string; readonly read: () => number }>>,
): void {
  for (const [name, { help, read }] of Object.entries(readings)) {
    const gauge: Gauge = new Gauge({ name, help, registers: [registry], collect: () => gauge.set(read()) });
  }
}

/** What istiod counts of things that this mesh doesn't have: 0 for ever, so that dashboards and alerts find them. */
const absent: Readonly<Record<string, string>> = {
  pilot_conflict_inbound_listener: 'Inbound listeners of one port: a waypoint has a single listener',
  pilot_conflict_outbound_listener_tcp_over_current_tcp: 'Outbound listeners of one port: there are none',
  pilot_sds_certificate_errors_total: 'Secrets that could not be sent: certificates come from the CA alone',
  sidecar_injection_requests_total: 'Pods to inject a sidecar into: there are no sidecars',
  sidecar_injection_success_total: 'Pods that got a sidecar: there are no sidecars',
  sidecar_injection_failure_total: 'Pods that failed to get a sidecar: there are no sidecars',
  sidecar_injection_skip_total: 'Pods that needed no sidecar: there are no sidecars',
};

export function registerAbsent(registry: PrometheusRegistry): void {
  for (const [name, help] of Object.entries(absent)) {
    const o = { name, help, registers: [registry] };
    if (name.endsWith('_total')) new Counter(o);
    else new Gauge(o);
  }
}
