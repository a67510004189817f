export * from './access-log.ts';
export * from './format.ts';
export * from './grpc-status.ts';
export * from './response-flags.ts';
export * from './sink.ts';
