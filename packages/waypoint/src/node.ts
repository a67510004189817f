import { structOf, type Node } from '@weft/xds';
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
    metadata: structOf(metadata),
    userAgentName: 'weft',
    userAgentVersion: VERSION,
  };
}
