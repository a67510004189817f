export { parseBootstrap, readBootstrap, type Bootstrap } from './config/bootstrap.ts';
export type { AdsAccess, Embedding, SecretServer } from './engine/embedding.ts';
export type { Secret, WorkloadDirectory, WorkloadMetadata } from './engine/types.ts';
export { Proxy, type ProxyOptions, type ProxyState } from './proxy.ts';
export { prometheusText } from './stats/index.ts';
