import { timestamp } from '@weft/kubernetes';
import {
  fieldError,
  jsonEquals,
  typeFromCrd,
  type FieldError,
  type TypeRegistry,
} from '../../schema/index.ts';
import { objectAt, objectsAt, stringAt, stringsAt, type ApiObject, type JsonObject } from '../object.ts';
import { CRD_COLLECTION } from '../resource.ts';
import type { Store } from '../store/store.ts';

/** Rules of a CRD that its own schema doesn't state. */
export function validateDefinition(
  registry: TypeRegistry,
  definition: ApiObject,
  old?: ApiObject,
): FieldError[] {
  const errors: FieldError[] = [];
  const group = stringAt(definition, 'spec', 'group') ?? '';
  const plural = stringAt(definition, 'spec', 'names', 'plural') ?? '';
  const expected = `${plural}.${group}`;
  if (definition.metadata.name !== expected) {
    errors.push(
      fieldError.invalid(
        'metadata.name',
        definition.metadata.name,
        `must be spec.names.plural+"."+spec.group`,
      ),
    );
  }
  const versions = objectsAt(definition, 'spec', 'versions');
  if (versions.filter(({ storage }) => storage === true).length !== 1) {
    errors.push(
      fieldError.invalid(
        'spec.versions',
        versions.map((v) => v),
        'must have exactly one version marked as storage version',
      ),
    );
  }
  for (const [index, version] of versions.entries()) {
    const path = `spec.versions[${index}].schema.openAPIV3Schema`;
    if (objectAt(version, 'schema', 'openAPIV3Schema') === undefined) {
      errors.push(fieldError.required(path, 'schemas are required'));
      continue;
    }
    try {
      typeFromCrd(registry, version);
    } catch (error) {
      const why =
        typeof error === 'object' && error !== null && 'message' in error
          ? String(error.message)
          : String(error);
      errors.push(fieldError.invalid(path, stringAt(version, 'name') ?? '', why));
    }
  }
  if (old !== undefined) {
    for (const field of ['group', 'scope'] as const) {
      const value = stringAt(definition, 'spec', field) ?? '';
      if (value !== stringAt(old, 'spec', field))
        errors.push(fieldError.invalid(`spec.${field}`, value, 'field is immutable'));
    }
    const kind = stringAt(definition, 'spec', 'names', 'kind') ?? '';
    if (kind !== stringAt(old, 'spec', 'names', 'kind')) {
      errors.push(fieldError.invalid('spec.names.kind', kind, 'field is immutable'));
    }
  }
  return errors;
}

/** Names of `definition`, filled in; done before validation, as defaulting is. */
export function defaultNames(definition: ApiObject): void {
  const names = objectAt(definition, 'spec', 'names');
  const kind = stringAt(names, 'kind');
  if (names === undefined || kind === undefined) return;
  names['singular'] ??= kind.toLowerCase();
  names['listKind'] ??= `${kind}List`;
}

/** Accepts the names at once, as there is one server only: the CRD is served as soon as it is stored. */
export function establish(store: Store, definition: ApiObject, now: Date): void {
  const names = objectAt(definition, 'spec', 'names') ?? {};
  const clash = clashWith(store, definition, names);
  const status = objectAt(definition, 'status') ?? {};
  const storage = objectsAt(definition, 'spec', 'versions').find((version) => version['storage'] === true);
  const storedVersions = new Set(stringsAt(status, 'storedVersions'));
  const storageName = stringAt(storage, 'name');
  if (storageName !== undefined) storedVersions.add(storageName);
  definition['status'] = {
    ...status,
    conditions: [
      condition(
        status,
        now,
        'NamesAccepted',
        clash === undefined,
        clash ?? 'no conflicts found',
        clash === undefined ? 'NoConflicts' : 'NameConflict',
      ),
      condition(
        status,
        now,
        'Established',
        clash === undefined,
        clash === undefined ? 'the initial names have been accepted' : 'not all names are accepted',
        clash === undefined ? 'InitialNamesAccepted' : 'NotAccepted',
      ),
      ...objectsAt(status, 'conditions').filter(
        ({ type }) => type !== 'NamesAccepted' && type !== 'Established',
      ),
    ],
    acceptedNames:
      clash === undefined ? { ...names } : (objectAt(status, 'acceptedNames') ?? { plural: '', kind: '' }),
    storedVersions: [...storedVersions],
  };
}

function condition(
  status: JsonObject,
  now: Date,
  type: string,
  good: boolean,
  message: string,
  reason: string,
): JsonObject {
  const before = objectsAt(status, 'conditions').find((entry) => entry['type'] === type);
  const value = { type, status: good ? 'True' : 'False', reason, message };
  if (
    before !== undefined &&
    jsonEquals({ ...before, lastTransitionTime: '' }, { ...value, lastTransitionTime: '' })
  )
    return before;
  return { ...value, lastTransitionTime: timestamp(now) };
}

/** Two CRDs of a group can't share a kind, plural, singular or short name. */
function clashWith(store: Store, definition: ApiObject, names: JsonObject): string | undefined {
  const group = stringAt(definition, 'spec', 'group');
  const wanted = resourceNames(names);
  for (const other of store.list(CRD_COLLECTION)) {
    if (other.metadata.name === definition.metadata.name || stringAt(other, 'spec', 'group') !== group)
      continue;
    const taken = objectAt(other, 'status', 'acceptedNames') ?? {};
    const shared = resourceNames(taken).find((name) => wanted.includes(name));
    if (shared !== undefined) return `"${shared}" is already in use`;
    if (stringAt(taken, 'kind') === stringAt(names, 'kind'))
      return `"${stringAt(names, 'kind') ?? ''}" is already in use`;
  }
  return undefined;
}

function resourceNames(names: JsonObject): readonly string[] {
  return [
    stringAt(names, 'plural') ?? '',
    stringAt(names, 'singular') ?? '',
    ...stringsAt(names, 'shortNames'),
  ].filter((name) => name !== '');
}
