import { timestamp } from '@weft/kubernetes';
import {
  jsonEquals,
  type JsonObject,
  isObject,
  objectAt,
  stringAt,
  type TypeSchema,
} from '../schema/index.ts';
import {
  difference,
  emptyFieldSet,
  type FieldSet,
  formatFieldPath,
  intersection,
  isEmptySet,
  members,
  union,
} from './field-set.ts';
import {
  encodeEntries,
  type FieldManager,
  type ManagedEntry,
  managedEntries,
  withoutManagedFields,
  withoutServerFields,
} from './managed-fields.ts';
import { PatchError } from './patch-error.ts';
import {
  assertDistinctItems,
  changedFields,
  compare,
  fieldsOf,
  mergeApplied,
  removeFields,
  withNamedFields,
} from './typed-object.ts';

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

/**
 * Server-side apply: merges the applied configuration into the live object, removes what this manager applied
 * before and nobody holds any more, and brings `managedFields` up to date. The caller applies defaults to the
 * result. Throws PatchError on a configuration that can't be merged.
 */
export function serverSideApply(options: ApplyOptions): ApplyResult {
  const { schema } = options;
  if (objectAt(options.applied, 'metadata')?.['managedFields'] !== undefined) {
    throw new PatchError('metadata.managedFields must be nil', 400);
  }
  const applied = withoutTopLevel(options.applied, options.resetFields ?? []);
  assertDistinctItems(schema, applied);
  const live = withoutManagedFields(options.live ?? {});
  const entries = liveEntries(options);
  const previous = entries.find((entry) => isApplier(entry, options));
  const others = entries.filter((entry) => entry !== previous);

  // mergeApplied of two objects is an object.
  const merged = mergeApplied(schema, live, applied) as JsonObject;
  const claimed = fieldsOf(schema, applied);
  const held = others.reduce((set, entry) => union(set, entry.fields), claimed);
  const object = previous === undefined ? merged : prune(schema, merged, previous.fields, held);

  const comparison = compare(schema, live, object);
  const changed = changedFields(comparison);
  const conflicting = others
    .map((entry) => ({ entry, fields: intersection(entry.fields, changed) }))
    .filter(({ fields }) => !isEmptySet(fields));
  if (conflicting.length > 0 && !options.force && !upgradesClientSideApply(options, live, conflicting)) {
    return conflictResult(conflicting);
  }
  const own: ManagedEntry = {
    manager: options.manager,
    operation: 'Apply',
    apiVersion: options.apiVersion,
    ...(options.subresource === undefined ? {} : { subresource: options.subresource }),
    ...applyTime(options, previous, jsonEquals(live, object)),
    fields: withoutServerFields(claimed),
  };
  const remaining = others.map((entry) => ({
    ...entry,
    fields: difference(difference(entry.fields, changed), comparison.removed),
  }));
  const metadata = { ...objectAt(object, 'metadata'), managedFields: encodeEntries([...remaining, own]) };
  return { kind: 'applied', object: withLastApplied(options, { ...object, metadata }) };
}

/** Keeps the annotation of client-side apply in step, so that a user may go back to it. */
function withLastApplied(options: ApplyOptions, object: JsonObject): JsonObject {
  const metadata = objectAt(object, 'metadata');
  const annotations = objectAt(metadata, 'annotations');
  if (options.manager !== 'kubectl' || annotations?.[LAST_APPLIED] === undefined) return object;
  const updated = { ...annotations, [LAST_APPLIED]: `${JSON.stringify(options.applied)}\n` };
  return { ...object, metadata: { ...metadata, annotations: updated } };
}

/** Applying the same again changes nothing, not even the time. */
function applyTime(
  options: ApplyOptions,
  previous: ManagedEntry | undefined,
  unchanged: boolean,
): { time?: string } {
  if (!unchanged) return { time: timestamp(options.now) };
  return previous?.time === undefined ? {} : { time: previous.time };
}

function isApplier(entry: ManagedEntry, options: FieldManager): boolean {
  return (
    entry.operation === 'Apply' &&
    entry.manager === options.manager &&
    entry.subresource === options.subresource
  );
}

/** An object that was never tracked counts as written by one manager, so that applying to it can conflict. */
function liveEntries(options: ApplyOptions): readonly ManagedEntry[] {
  const { live } = options;
  if (live === undefined) return [];
  const entries = managedEntries(live);
  if (entries.length > 0) return entries;
  const fields = withoutServerFields(changedFields(compare(options.schema, {}, withoutManagedFields(live))));
  return [
    {
      manager: 'before-first-apply',
      operation: 'Update',
      apiVersion: options.apiVersion,
      time: timestamp(options.now),
      fields,
    },
  ];
}

/**
 * Removes what the manager applied before (`last`) and nobody holds now. A list item that nobody claims as such
 * goes whole, even if others hold fields inside it; a plain field stays while somebody holds something below it.
 */
function prune(schema: TypeSchema, merged: JsonObject, last: FieldSet, held: FieldSet): JsonObject {
  const remove = (set: FieldSet): JsonObject => {
    const rest = removeFields(schema, merged, set);
    return isObject(rest) ? rest : {};
  };
  const everything = withNamedFields(schema, fieldsOf(schema, merged));
  const lastNamed = withNamedFields(schema, last);
  const fieldsWithin = (object: JsonObject): FieldSet => withNamedFields(schema, fieldsOf(schema, object));

  const withoutLast = remove(lastNamed);
  const wanted = union(fieldsWithin(withoutLast), withNamedFields(schema, held));
  const withHeld = remove(difference(everything, wanted));
  // Fields that no manager ever held (status, defaults) must survive the removal of what surrounded them.
  return remove(intersection(difference(everything, fieldsWithin(withHeld)), lastNamed));
}

interface Conflict {
  readonly entry: ManagedEntry;
  readonly fields: FieldSet;
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/**
 * `kubectl apply --server-side` on an object that was so far applied by the client: fields recorded in the
 * annotation are kubectl's own, whoever is named as their manager.
 */
function upgradesClientSideApply(
  options: ApplyOptions,
  live: JsonObject,
  conflicts: readonly Conflict[],
): boolean {
  if (options.manager !== 'kubectl') return false;
  const text = stringAt(objectAt(objectAt(live, 'metadata'), 'annotations'), LAST_APPLIED);
  if (text === undefined) return false;
  let lastApplied: FieldSet;
  try {
    lastApplied = fieldsOf(options.schema, JSON.parse(text) as JsonObject); // anything else has no fields
  } catch {
    return false;
  }
  const contested = conflicts.reduce((set, { fields }) => union(set, fields), emptyFieldSet);
  return isEmptySet(difference(contested, lastApplied));
}

function conflictResult(conflicting: readonly Conflict[]): ApplyResult {
  const sorted = conflicting
    .map(({ entry, fields }) => ({ manager: entry.manager, name: describeManager(entry), fields }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const conflicts = sorted.flatMap(({ manager, name, fields }) =>
    [...members(fields)].map((path) => ({
      manager,
      path: formatFieldPath(path),
      message: `conflict with ${name}`,
    })),
  );
  const [first] = conflicts;
  if (conflicts.length === 1 && first !== undefined) {
    const message = `Apply failed with 1 conflict: ${first.message}: ${first.path}`;
    return { kind: 'conflict', message, conflicts };
  }
  const texts = sorted.map(({ name, fields }) =>
    [`conflicts with ${name}:`, ...[...members(fields)].map((path) => `- ${formatFieldPath(path)}`)].join(
      '\n',
    ),
  );
  const message = `Apply failed with ${conflicts.length} conflicts: ${texts.join('\n')}`;
  return { kind: 'conflict', message, conflicts };
}

function describeManager(entry: ManagedEntry): string {
  const name = JSON.stringify(entry.manager);
  const subresource =
    entry.subresource === undefined ? '' : ` with subresource ${JSON.stringify(entry.subresource)}`;
  const version = entry.operation === 'Update' ? ` using ${entry.apiVersion}` : '';
  return `${name}${subresource}${version}`;
}

function withoutTopLevel(object: JsonObject, fields: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !fields.includes(name)));
}
