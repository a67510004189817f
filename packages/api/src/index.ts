export * from './labels.ts';
export * from './names.ts';
export * from './ports.ts';
export * from './type-urls.ts';
