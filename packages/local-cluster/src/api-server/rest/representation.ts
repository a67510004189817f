import { applyDefaults } from '../../schema/index.ts';
import { toTable } from '../../tables/index.ts';
import { cloneJson, type ApiObject, type JsonObject } from '../object.ts';
import { stringAt } from '../object.ts';
import type { Resource } from '../resource.ts';
import type { Representation } from './media-types.ts';

/** Versions of stored objects as one resource version shows them, and their JSON texts. Both are made once. */
const presented = new WeakMap<Resource, WeakMap<ApiObject, ApiObject>>();
const texts = new WeakMap<ApiObject, string>();

/**
 * A stored object in the version of the resource. Custom objects also get the defaults of the schema as it is now,
 * which may be newer than the object.
 */
export function present(resource: Resource, stored: ApiObject): ApiObject {
  if (resource.custom === undefined && stored.apiVersion === resource.apiVersion) return stored;
  let objects = presented.get(resource);
  if (objects === undefined) {
    objects = new WeakMap();
    presented.set(resource, objects);
  }
  let object = objects.get(stored);
  if (object === undefined) {
    object = cloneJson(stored);
    object.apiVersion = resource.apiVersion;
    if (resource.schema !== undefined) applyDefaults(resource.schema, resource, object);
    objects.set(stored, object);
  }
  return object;
}

export function jsonText(object: ApiObject): string {
  let text = texts.get(object);
  if (text === undefined) {
    text = JSON.stringify(object);
    texts.set(object, text);
  }
  return text;
}

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export function includeObjectOf(parameters: URLSearchParams): IncludeObject {
  const text = parameters.get('includeObject');
  return text === 'None' || text === 'Object' ? text : 'Metadata';
}

export interface RepresentationOptions {
  readonly resource: Resource;
  readonly representation: Representation;
  readonly includeObject: IncludeObject;
  readonly now: Date;
}

/** One object as the client asked for it. */
export function objectText(options: RepresentationOptions, object: ApiObject): string {
  switch (options.representation.kind) {
    case 'object':
      return jsonText(object);
    case 'metadata':
      return JSON.stringify(partialMetadata(object, options.representation.version));
    case 'table':
      return JSON.stringify(table(options, [object], {}));
  }
}

/** A list as the client asked for it; `metadata` is its ListMeta. */
export function listText(
  options: RepresentationOptions,
  objects: readonly ApiObject[],
  metadata: JsonObject,
): string {
  const { resource, representation } = options;
  switch (representation.kind) {
    case 'object':
      return listDocument(listKind(resource), resource.apiVersion, metadata, objects.map(jsonText));
    case 'metadata': {
      const items = objects.map((object) => JSON.stringify(partialMetadata(object, representation.version)));
      return listDocument(
        'PartialObjectMetadataList',
        `meta.k8s.io/${representation.version}`,
        metadata,
        items,
      );
    }
    case 'table':
      return JSON.stringify(table(options, objects, metadata));
  }
}

export function table(options: RepresentationOptions, objects: readonly ApiObject[], metadata: JsonObject) {
  const { resource, representation, includeObject, now } = options;
  const crdColumns = resource.custom?.columns;
  const result = toTable(resource, objects, {
    includeObject,
    metadata,
    now,
    ...(resource.custom === undefined ? {} : { crdColumns: crdColumns ?? [] }),
  });
  return representation.kind === 'table' && representation.version === 'v1beta1'
    ? { ...result, apiVersion: 'meta.k8s.io/v1beta1' }
    : result;
}

export function partialMetadata(object: ApiObject, version: 'v1' | 'v1beta1'): JsonObject {
  return { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${version}`, metadata: object.metadata };
}

function listKind(resource: Resource): string {
  return stringAt(resource.custom?.definition, 'spec', 'names', 'listKind') ?? `${resource.kind}List`;
}

/** Written by hand, so that the texts of the items are not made again. */
function listDocument(
  kind: string,
  apiVersion: string,
  metadata: JsonObject,
  items: readonly string[],
): string {
  const head = JSON.stringify({ kind, apiVersion, metadata });
  return `${head.slice(0, -1)},"items":[${items.join(',')}]}`;
}
