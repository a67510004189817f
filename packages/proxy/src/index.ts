export { parseBootstrap, readBootstrap, type Bootstrap } from './config/bootstrap.ts';
export * from './engine/embedding.ts';
export * from './engine/types.ts';
export { Proxy, type ProxyOptions, type ProxyState } from './proxy.ts';
export { adminRoutes } from './admin/index.ts';
export { adminSources } from './config/admin-sources.ts';
export { prometheusText } from './stats/index.ts';
export { keepRequestsYoung } from './engine/heap-flags.ts';
