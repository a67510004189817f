import type { Node } from '@weft/xds';
import type { Config } from './config.ts';
import { VERSION } from './version.ts';

/** How the control plane knows this proxy. */
export function xdsNode(config: Config): Node {
  const { podName, podNamespace, instanceIp, nodeName, domain, clusterId } = config;
  const metadata = new Map<string, unknown>([
    ...config.metadata,
    ['NAME', podName],
    ['NAMESPACE', podNamespace],
    ['INSTANCE_IPS', instanceIp],
    ['NODE_NAME', nodeName],
    ['CLUSTER_ID', clusterId],
    ['LABELS', Object.fromEntries(config.labels)],
  ]);
  return {
    id: `waypoint~${instanceIp}~${podName}.${podNamespace}~${domain}`,
    cluster: config.serviceCluster,
    metadata: { fields: Object.fromEntries([...metadata].map(([key, value]) => [key, structValue(value)])) },
    userAgentName: 'weft',
    userAgentVersion: VERSION,
  };
}

type StructValue = NonNullable<NonNullable<NonNullable<Node['metadata']>['fields']>[string]>;

function structValue(value: unknown): StructValue {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(structValue) } };
  if (typeof value === 'object' && value !== null) {
    return {
      structValue: { fields: Object.fromEntries(Object.entries(value).map(([k, v]) => [k, structValue(v)])) },
    };
  }
  return { nullValue: 0 };
}
