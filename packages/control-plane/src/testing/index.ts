export { createMesh } from '../ambient/test-mesh.ts';
export { ServedTypes } from '../discovery/served-types.ts';
export * from './golden-cases.ts';
