/** The borders between the folders of the engine: what each part may know of the others. */
export * from './address.ts';
export * from './byte-stream.ts';
export * from './compile-context.ts';
export { ConfigError } from './config-error.ts';
export * from './engine-parts.ts';
export { FilterState, type FilterStateSharing, type FilterStateValue } from './filter-state.ts';
export { HeaderMap } from './header-map.ts';
export * from './http-filter.ts';
export * from './metadata.ts';
export * from './network-filter.ts';
export * from './resource-providers.ts';
export * from './stats-scope.ts';
export * from './stream-info.ts';
export * from './upstream.ts';
export type { HttpStream, HttpStreamEvents, ResetReason } from '../http/codec.ts';
