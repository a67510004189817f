import type { JsonObject, TypeSchema } from '../schema/index.ts';
import type { FieldManager } from './managed-fields.ts';

export interface ApplyOptions extends FieldManager {
  readonly schema: TypeSchema;
  /** Absent when apply creates the object. */
  readonly live?: JsonObject;
  readonly applied: JsonObject;
  readonly force: boolean;
  /** Top-level fields that this endpoint doesn't write: `status` on the main resource, `spec` on `/status`. */
  readonly resetFields?: readonly string[];
}

export interface ApplyConflict {
  readonly manager: string;
  /** `.spec.template.spec.containers[name="c"].image` */
  readonly path: string;
  /** `conflict with "a" using apps/v1`: the cause's message; `path` is its field. */
  readonly message: string;
}

export type ApplyResult =
  | { readonly kind: 'applied'; readonly object: JsonObject }
  | { readonly kind: 'conflict'; readonly message: string; readonly conflicts: readonly ApplyConflict[] };

/** The live object with the applied configuration merged in and `managedFields` brought up to date. */
export function serverSideApply(_options: ApplyOptions): ApplyResult {
  throw new Error('not yet');
}
