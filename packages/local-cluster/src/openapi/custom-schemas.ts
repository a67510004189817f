import {
  apiVersionOf,
  objectAt,
  type JsonObject,
  type ResourceDefinition,
  type TypeSchema,
} from '../schema/index.ts';
import { gvkExtension, reference, type SchemaCollector } from './schemas.ts';

/** A served version of a CRD, for the documents. */
export interface CustomType {
  readonly resource: ResourceDefinition;
  /** `spec.versions[].schema.openAPIV3Schema`, published as it is. */
  readonly openApiSchema: JsonObject;
  readonly schema: TypeSchema;
}

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';

/** Adds the schemas of a custom kind and of its list; returns the reference to the kind. */
export function addCustomSchema(
  collector: SchemaCollector,
  { resource, openApiSchema }: CustomType,
): JsonObject {
  const name = [...resource.group.split('.').reverse(), resource.version, resource.kind].join('.');
  const identity: JsonObject = {
    apiVersion: {
      type: 'string',
      description: `The versioned schema of this object: ${apiVersionOf(resource)}.`,
    },
    kind: { type: 'string', description: 'The type of this object.' },
  };
  collector.set(name, {
    ...openApiSchema,
    type: 'object',
    properties: {
      ...objectAt(openApiSchema, 'properties'),
      ...identity,
      metadata: { allOf: [collector.add(`${META}.ObjectMeta`)] },
    },
    ...gvkExtension(resource),
  });
  collector.set(`${name}List`, {
    type: 'object',
    required: ['items'],
    properties: {
      ...identity,
      items: { type: 'array', items: reference(name) },
      metadata: { allOf: [collector.add(`${META}.ListMeta`)] },
    },
    ...gvkExtension({ ...resource, kind: `${resource.kind}List` }),
  });
  return reference(name);
}
