export { PatchError } from './patch-error.ts';
export { mergePatch } from './merge-patch.ts';
export { jsonPatch } from './json-patch.ts';
export { strategicMerge } from './strategic-merge.ts';
export {
  type ApplyConflict,
  type ApplyOptions,
  type ApplyResult,
  serverSideApply,
} from './server-side-apply.ts';
export { type FieldManager, type TrackUpdateOptions, trackUpdate } from './managed-fields.ts';
