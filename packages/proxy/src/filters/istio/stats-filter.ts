import { stats as istio } from '@weft/api/envoy';
import type {
  CompileContext,
  CompiledHttpFilter,
  CompiledNetworkFilter,
  HttpFilterFactory,
  NetworkFilterFactory,
  StreamInfo,
  WorkloadMetadata,
} from '../../engine/types.ts';
import { GRPC_COUNTS_KEY, type GrpcMessageCounts } from '../grpc-stats.ts';
import { compileMessage, durationMs } from '../message.ts';
import { IstioMetrics, type MetricOverride } from './metrics.ts';
import type { LabelContext, Reporter } from './labels.ts';

const NAME = 'istio.stats';
const TYPE_URL = 'type.googleapis.com/stats.PluginConfig';
const DEFAULT_TCP_REPORT_MS = 5_000;

/** `istio.stats` on HTTP: the `istio_requests_total` family, one report for each request at its end. */
export const httpIstioStats: HttpFilterFactory = {
  name: NAME,
  typeUrls: [TYPE_URL],
  compile(config, context): CompiledHttpFilter {
    const { metrics, labels } = compileMessage(istio.PluginConfig, config, context, (m) =>
      compileStats(m, context),
    );
    return {
      create: () => ({
        onComplete: (info) => metrics.reportRequest(info, labels(info), grpcCounts(info)),
      }),
    };
  },
};

/** `istio.stats` on TCP: opened, closed and bytes, reported every few seconds while a connection lives. */
export const networkIstioStats: NetworkFilterFactory = {
  name: NAME,
  typeUrls: [TYPE_URL],
  compile(config, context): CompiledNetworkFilter {
    const { metrics, labels, reportMs } = compileMessage(istio.PluginConfig, config, context, (m) =>
      compileStats(m, context),
    );
    const { clock } = context.engine;
    return {
      kind: 'filter',
      create: () => {
        const reported = { opened: false, received: 0, sent: 0 };
        let cancel = (): void => undefined;
        const report = (info: StreamInfo, closed: boolean): void => {
          metrics.reportConnection(
            labels(info),
            {
              opened: !reported.opened,
              closed,
              received: info.bytesReceived - reported.received,
              sent: info.bytesSent - reported.sent,
            },
            info,
          );
          Object.assign(reported, { opened: true, received: info.bytesReceived, sent: info.bytesSent });
        };
        const schedule = (info: StreamInfo): void => {
          cancel = clock.schedule(reportMs, () => {
            report(info, false);
            schedule(info);
          });
        };
        return {
          onNewConnection: (_connection, info) => {
            schedule(info);
            return 'continue';
          },
          onComplete: (info) => {
            cancel();
            report(info, true);
          },
        };
      },
    };
  },
};

function compileStats(config: istio.PluginConfig, context: CompileContext) {
  const { engine } = context;
  const metrics = new IstioMetrics(
    engine.stats,
    config.metrics.map((m) => override(m, context)),
  );
  const reporter = config.reporter === istio.Reporter.SERVER_GATEWAY ? 'waypoint' : undefined;
  const self = selfMetadata(engine.node.metadata);
  return {
    metrics,
    reportMs: durationMs(config.tcpReportingDuration) || DEFAULT_TCP_REPORT_MS,
    labels: (info: StreamInfo): LabelContext => ({
      reporter: reporter ?? directionReporter(info),
      directory: engine.workloads,
      self,
      hostFallback: !config.disableHostHeaderFallback,
      clusterByName: (name) => engine.clusters.get(name),
    }),
  };
}

function override(metric: istio.MetricConfig.$Properties, context: CompileContext): MetricOverride {
  // Expressions are CEL in general; constants, the common case, need none.
  const constants: Record<string, string> = {};
  for (const [label, expression] of Object.entries(metric.dimensions ?? {})) {
    const constant = /^(["'])(.*)\1$/.exec(expression)?.[2];
    if (constant === undefined) context.at(`metrics.dimensions["${label}"]`).fail('CEL is not supported');
    else constants[label] = constant;
  }
  return {
    name: metric.name ?? '',
    drop: metric.drop === true,
    remove: metric.tagsToRemove ?? [],
    constants,
  };
}

function directionReporter(info: StreamInfo): Reporter {
  return info.trafficDirection === 'inbound' ? 'destination' : 'source';
}

function selfMetadata(node: Readonly<Record<string, unknown>>): WorkloadMetadata {
  const labels = typeof node['LABELS'] === 'object' && node['LABELS'] !== null ? node['LABELS'] : {};
  const label = (key: string): unknown =>
    Object.hasOwn(labels, key) ? labels[key as keyof typeof labels] : undefined;
  const fields = {
    name: node['WORKLOAD_NAME'],
    namespace: node['NAMESPACE'],
    cluster: node['CLUSTER_ID'],
    canonicalName: label('service.istio.io/canonical-name'),
    canonicalRevision: label('service.istio.io/canonical-revision'),
    app: label('app'),
    version: label('version'),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, v]) => typeof v === 'string' && v !== ''));
}

function grpcCounts(info: StreamInfo): GrpcMessageCounts | undefined {
  const value = info.filterState.get(GRPC_COUNTS_KEY);
  // Only grpc_stats writes this key.
  return typeof value === 'object' ? (value as GrpcMessageCounts) : undefined;
}
