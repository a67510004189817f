import { Counter, Gauge, createMetricsRegistry, type MetricsRegistry } from '@weft/telemetry';

/** The agent's metrics, by the names that Istio's agent gives them. */
export interface AgentMetrics {
  readonly registry: MetricsRegistry;
  readonly reconcileEvents: Counter<'type'>;
  readonly ztunnelConnected: Gauge;
  readonly pluginRequests: Counter<'response_code'>;
  readonly installs: Counter<'result'>;
  readonly installReady: Gauge;
  readonly pendingPods: Gauge;
  readonly uncapturedPods: Gauge;
  readonly captureFaults: Counter<'fault'>;
  readonly ruleRepairs: Counter;
  readonly errors: Counter<'code'>;
}

export function createAgentMetrics(): AgentMetrics {
  const registry = createMetricsRegistry();
  const registers = [registry];
  return {
    registry,
    reconcileEvents: new Counter({
      name: 'nodeagent_reconcile_events_total',
      help: 'Changes of enrolled pods by type',
      labelNames: ['type'],
      registers,
    }),
    ztunnelConnected: new Gauge({
      name: 'ztunnel_connected',
      help: 'Number of ztunnels connected to this agent',
      registers,
    }),
    pluginRequests: new Counter({
      name: 'istio_cni_plugin_requests_total',
      help: 'Requests of the CNI plugin by response code',
      labelNames: ['response_code'],
      registers,
    }),
    installs: new Counter({
      name: 'istio_cni_installs_total',
      help: 'Writes of the CNI configuration by result',
      labelNames: ['result'],
      registers,
    }),
    installReady: new Gauge({
      name: 'istio_cni_install_ready',
      help: 'Whether the plugin is in the CNI configuration',
      registers,
    }),
    pendingPods: new Gauge({
      name: 'weft_cni_pods_pending',
      help: 'Running pods that should be redirected and are not',
      registers,
    }),
    uncapturedPods: new Gauge({
      name: 'weft_cni_pods_uncaptured',
      help: 'Running, labelled pods that the last audit found not to be captured',
      registers,
    }),
    captureFaults: new Counter({
      name: 'weft_cni_capture_faults_total',
      help: 'Faults that audits found, by the reason that the condition weft.dev/Captured gives',
      labelNames: ['fault'],
      registers,
    }),
    ruleRepairs: new Counter({
      name: 'weft_cni_host_rule_repairs_total',
      help: 'How often the rules for probes were written again in the network namespace of the node',
      registers,
    }),
    errors: new Counter({
      name: 'weft_errors_total',
      help: 'Errors by their code; docs/errors.md explains each',
      labelNames: ['code'],
      registers,
    }),
  };
}
