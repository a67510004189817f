export { type Change, Collection, type Equality } from './collection.ts';
export type { CollectionReader, Fetch, IndexReader, Uses } from './dependencies.ts';
export type { ComputationError } from './derived.ts';
export { deepEqual } from './equality.ts';
export { type ChangeSet, Graph, type GraphOptions, type GraphStatistics } from './graph.ts';
export { type Labels, labelKeys, selectorKey, selects } from './label-selectors.ts';
export type { LineageNode, LineageRead } from './lineage.ts';
export { Index } from './collection-index.ts';
export type { SourceCollection } from './source.ts';
