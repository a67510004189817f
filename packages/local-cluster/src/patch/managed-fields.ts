import { timestamp } from '@weft/kubernetes';
import { arrayAt, isObject, type JsonObject, objectAt, stringAt, type TypeSchema } from '../schema/index.ts';
import {
  decodeFieldsV1,
  difference,
  emptyFieldSet,
  encodeFieldsV1,
  type FieldSet,
  fieldElement,
  isEmptySet,
  pathSet,
  union,
} from './field-set.ts';
import { changedFields, compare } from './typed-object.ts';

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

/** One entry of `metadata.managedFields`, decoded. */
export interface ManagedEntry {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource?: string;
  readonly time?: string;
  readonly fields: FieldSet;
}

/** Update managers beyond this are folded into `ancient-changes`, oldest first, as Kubernetes does. */
const MAX_UPDATE_MANAGERS = 10;
const ANCIENT_CHANGES = 'ancient-changes';

/**
 * The `metadata.managedFields` after a create, update or non-apply patch. A request that wrote
 * `managedFields: [{}]` or `[]` clears them.
 */
export function trackUpdate(options: TrackUpdateOptions): JsonObject[] {
  const previous = entriesBefore(options);
  if (previous === 'cleared') return [];
  const { before, after } = options;
  // Nobody tracks an object whose fields were cleared, until somebody applies to it.
  if (before !== undefined && previous.length === 0) return [];
  const comparison = compare(options.schema, withoutManagedFields(before ?? {}), withoutManagedFields(after));
  const changed = withoutServerFields(changedFields(comparison));
  const others = previous.map((entry) => ({
    ...entry,
    fields: difference(difference(entry.fields, comparison.removed), changed),
  }));
  // The manager's own entry keeps what it had and gains what changed.
  const self = others.find((entry) => isSameUpdater(entry, options));
  const own = self === undefined ? emptyFieldSet : (previous[others.indexOf(self)]?.fields ?? emptyFieldSet);
  if (isEmptySet(changed)) return encodeEntries(others);
  const entry: ManagedEntry = {
    ...updaterOf(options),
    fields: union(difference(own, comparison.removed), changed),
  };
  return encodeEntries(foldAncient([...others.filter((other) => other !== self), entry]));
}

function updaterOf(options: FieldManager): Omit<ManagedEntry, 'fields'> {
  return {
    manager: options.manager,
    operation: 'Update',
    apiVersion: options.apiVersion,
    ...(options.subresource === undefined ? {} : { subresource: options.subresource }),
    time: timestamp(options.now),
  };
}

function isSameUpdater(entry: ManagedEntry, options: FieldManager): boolean {
  return (
    entry.operation === 'Update' &&
    entry.manager === options.manager &&
    entry.apiVersion === options.apiVersion &&
    entry.subresource === options.subresource
  );
}

/** A client may write managedFields itself, except through a subresource; what it leaves out stays. */
function entriesBefore(options: TrackUpdateOptions): readonly ManagedEntry[] | 'cleared' {
  const live = managedEntries(options.before ?? {});
  const written = objectAt(options.after, 'metadata')?.['managedFields'];
  if (options.subresource !== undefined || !Array.isArray(written)) return live;
  const only = written[0];
  if (written.length === 0 || (written.length === 1 && isObject(only) && Object.keys(only).length === 0)) {
    return 'cleared';
  }
  const entries = managedEntries(options.after);
  return entries.length === 0 ? live : entries;
}

/** The decoded entries of an object; none at all if any of them is malformed. */
export function managedEntries(object: JsonObject): readonly ManagedEntry[] {
  const entries: ManagedEntry[] = [];
  for (const encoded of arrayAt(objectAt(object, 'metadata'), 'managedFields')) {
    const entry = isObject(encoded) ? decodeEntry(encoded) : undefined;
    if (entry === undefined) return [];
    entries.push(entry);
  }
  return entries;
}

function decodeEntry(encoded: JsonObject): ManagedEntry | undefined {
  const operation = stringAt(encoded, 'operation');
  const fields = decodeFieldsV1(objectAt(encoded, 'fieldsV1') ?? {});
  if ((operation !== 'Apply' && operation !== 'Update') || fields === undefined) return undefined;
  const subresource = stringAt(encoded, 'subresource');
  const time = stringAt(encoded, 'time');
  return {
    manager: stringAt(encoded, 'manager') ?? '',
    operation,
    apiVersion: stringAt(encoded, 'apiVersion') ?? '',
    ...(subresource === undefined || subresource === '' ? {} : { subresource }),
    ...(time === undefined ? {} : { time }),
    fields,
  };
}

/** Entries as they are stored: empty ones dropped, Apply before Update, then by time and manager. */
export function encodeEntries(entries: readonly ManagedEntry[]): JsonObject[] {
  return entries
    .map((entry) => ({ ...entry, fields: withoutServerFields(entry.fields) }))
    .filter((entry) => !isEmptySet(entry.fields))
    .sort(compareEntries)
    .map((entry) => ({
      apiVersion: entry.apiVersion,
      fieldsType: 'FieldsV1',
      fieldsV1: encodeFieldsV1(entry.fields),
      manager: entry.manager,
      operation: entry.operation,
      ...(entry.subresource === undefined ? {} : { subresource: entry.subresource }),
      ...(entry.time === undefined ? {} : { time: entry.time }),
    }));
}

function compareEntries(a: ManagedEntry, b: ManagedEntry): number {
  return (
    compareText(a.operation, b.operation) ||
    compareText(a.time ?? '', b.time ?? '') ||
    compareText(a.manager, b.manager) ||
    compareText(a.apiVersion, b.apiVersion) ||
    compareText(a.subresource ?? '', b.subresource ?? '')
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function foldAncient(entries: readonly ManagedEntry[]): readonly ManagedEntry[] {
  const updates = entries.filter((entry) => entry.operation === 'Update').sort(compareEntries);
  const excess = updates.length - MAX_UPDATE_MANAGERS;
  if (excess <= 0) return entries;
  const folded = new Set<ManagedEntry>();
  const byVersion = new Map<string, ManagedEntry>();
  for (const entry of updates) {
    if (updates.length - folded.size + byVersion.size <= MAX_UPDATE_MANAGERS) break;
    folded.add(entry);
    const bucket = byVersion.get(entry.apiVersion);
    byVersion.set(entry.apiVersion, {
      manager: ANCIENT_CHANGES,
      operation: 'Update',
      apiVersion: entry.apiVersion,
      ...(entry.time === undefined ? {} : { time: entry.time }),
      fields: union(bucket?.fields ?? emptyFieldSet, entry.fields),
    });
  }
  return [...entries.filter((entry) => !folded.has(entry)), ...byVersion.values()];
}

export function withoutManagedFields(object: JsonObject): JsonObject {
  const metadata = objectAt(object, 'metadata');
  if (metadata === undefined || !Object.hasOwn(metadata, 'managedFields')) return object;
  const { managedFields: _, ...rest } = metadata;
  return { ...object, metadata: rest };
}

const serverFields: FieldSet = [
  ['apiVersion'],
  ['kind'],
  ['metadata'],
  ...[
    'name',
    'namespace',
    'uid',
    'resourceVersion',
    'generation',
    'creationTimestamp',
    'selfLink',
    'managedFields',
    'clusterName',
  ].map((field) => ['metadata', field]),
].reduce<FieldSet>((set, path) => union(set, pathSet(path.map(fieldElement))), emptyFieldSet);

/** Without the fields that identify the object or belong to the server: nobody manages those. */
export function withoutServerFields(fields: FieldSet): FieldSet {
  return difference(fields, serverFields);
}
