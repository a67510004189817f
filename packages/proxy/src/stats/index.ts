export * from './histogram.ts';
export * from './prometheus.ts';
export * from './stats-store.ts';
export * from './tags.ts';
export * from './text.ts';
