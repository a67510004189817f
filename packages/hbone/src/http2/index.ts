/** The HTTP/2 codec by itself, for those who bring their own transport. */
export * from './connection.ts';
export * from './connection-events.ts';
export * from './constants.ts';
export { defaultFloodLimits, type FloodLimits } from './flood-guard.ts';
export type { FlatFields } from './hpack/decoder.ts';
export { defaultHttp2Limits, type Http2Limits, type MessageRules, tunnelRules } from './limits.ts';
export { HeadFields, RequestHead, ResponseHead } from './message-head.ts';
export { BatchPool } from './output.ts';
export { Http2ConnectionError, type ViolationKind } from './protocol-error.ts';
export { ReceiveBudget } from './receive-budget.ts';
export { SendTurns } from './send-turns.ts';
export type { DataSource, Http2Stream, RequestKind, StreamEvents } from './stream.ts';
export { defaultKeepalive, Keepalive, type KeepaliveOptions } from '../transport/keepalive.ts';
