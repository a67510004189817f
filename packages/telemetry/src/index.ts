export * from './admin-server.ts';
export * from './environment.ts';
export * from './error-codes/index.ts';
export * from './errors.ts';
export * from './logger.ts';
export * from './metrics.ts';
export * from './readiness.ts';
export * from './shutdown.ts';
