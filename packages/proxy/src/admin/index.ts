export * from './admin.ts';
export * from './config-dump.ts';
export * from './sources.ts';
