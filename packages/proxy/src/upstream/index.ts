export { createCluster, UpstreamCluster } from './cluster.ts';
export { ClusterTable } from './cluster-table.ts';
export { Host, type HostStats } from './host.ts';
export { combineHash, xxHash64 } from './load-balancer/index.ts';
