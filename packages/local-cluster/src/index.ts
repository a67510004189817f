export type { ImageEntry, ImageTable } from './cluster/image-table.ts';
export {
  clusterStatus,
  startCluster,
  stopCluster,
  type ClusterName,
  type ClusterStatus,
  type RunningCluster,
  type StartOptions,
  type StopOptions,
} from './cluster/launcher.ts';
export type { NodeReadiness } from './cluster/readiness.ts';
export { defaultStateDirectory, type UserMapping } from './cluster/state-directory.ts';
