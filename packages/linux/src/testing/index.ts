export * from './sandbox.ts';
export * from './skip-if.ts';
