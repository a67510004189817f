import type { JsonObject, TypeSchema } from '../schema/index.ts';

/** Who is asking, and how it is written into `metadata.managedFields`. */
export interface FieldManager {
  /** The `fieldManager` parameter, else the User-Agent up to the first `/`. */
  readonly manager: string;
  readonly apiVersion: string;
  readonly subresource?: string;
  readonly now: Date;
}

export interface TrackUpdateOptions extends FieldManager {
  readonly schema: TypeSchema;
  /** Absent when the object is being created. */
  readonly before?: JsonObject;
  readonly after: JsonObject;
}

/**
 * The `metadata.managedFields` after a create, update or non-apply patch. A request that wrote
 * `managedFields: [{}]` or `[]` clears them.
 */
export function trackUpdate(_options: TrackUpdateOptions): JsonObject[] {
  return [];
}
