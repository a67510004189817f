export { createMesh } from '../ambient/test-mesh.ts';
export { ServedTypes } from '../discovery/served-types.ts';
export * from './golden-cases.ts';
export { namespaceFacts, nodeFacts, podFacts, serviceFacts } from '../sources/facts.ts';
