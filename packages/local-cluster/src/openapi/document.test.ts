import { describe, expect, it } from '@jest/globals';
import {
  type JsonObject,
  type JsonValue,
  objectAt,
  type ResourceDefinition,
  TypeRegistry,
  typeFromCrd,
} from '../schema/index.ts';
import type { CustomType } from './custom-schemas.ts';
import { openApiV3Document, openApiV3Index } from './document.ts';

const registry = TypeRegistry.load();
const openApiSchema: JsonObject = {
  type: 'object',
  description: 'A widget.',
  properties: { spec: { type: 'object', description: 'What is wanted.' } },
};
const resource: ResourceDefinition = {
  group: 'example.com',
  version: 'v1',
  kind: 'Widget',
  plural: 'widgets',
  singular: 'widget',
  namespaced: true,
  verbs: ['get', 'list', 'create', 'update', 'patch', 'delete', 'watch'],
  shortNames: [],
  categories: [],
  subresources: [],
};
const widget: CustomType = {
  resource,
  openApiSchema,
  schema: typeFromCrd(registry, { schema: { openAPIV3Schema: openApiSchema } }),
};

function refsIn(value: JsonValue): string[] {
  if (Array.isArray(value)) return value.flatMap(refsIn);
  if (typeof value !== 'object' || value === null) return [];
  const own = typeof value['$ref'] === 'string' ? [value['$ref']] : [];
  return [...own, ...Object.values(value).flatMap(refsIn)];
}

describe('OpenAPI v3', () => {
  it('has a document for every group-version in the index, and each is complete in itself', () => {
    const input = { registry, customTypes: [widget] };
    const paths = Object.keys(objectAt(openApiV3Index(input), 'paths') ?? {});
    expect(paths).toContain('api/v1');
    expect(paths).toContain('apis/example.com/v1');
    for (const path of paths) {
      const parts = path.split('/');
      const groupVersion = { group: parts.length === 3 ? (parts[1] ?? '') : '', version: parts.at(-1) ?? '' };
      const found = openApiV3Document(input, groupVersion);
      if (found === undefined) throw new Error(`no document for ${path}`);
      const { document, hash } = found;
      const schemas = objectAt(objectAt(document, 'components'), 'schemas') ?? {};
      const dangling = refsIn(document).filter(
        (ref) => schemas[ref.replace('#/components/schemas/', '')] === undefined,
      );
      expect(dangling).toEqual([]);
      expect(objectAt(objectAt(openApiV3Index(input), 'paths'), path)).toEqual({
        serverRelativeURL: `/openapi/v3/${path}?hash=${hash}`,
      });
    }
  });

  it('lets kubectl find server-side validation', () => {
    const found = openApiV3Document({ registry, customTypes: [] }, { group: 'apps', version: 'v1' });
    const item = objectAt(
      objectAt(found?.document, 'paths'),
      '/apis/apps/v1/namespaces/{namespace}/deployments/{name}',
    );
    expect(item?.['patch']).toMatchObject({
      'x-kubernetes-group-version-kind': { group: 'apps', version: 'v1', kind: 'Deployment' },
      parameters: expect.arrayContaining([expect.objectContaining({ name: 'fieldValidation', in: 'query' })]),
    });
  });

  it('carries merge keys, for patches made by clients', () => {
    const found = openApiV3Document({ registry, customTypes: [] }, { group: '', version: 'v1' });
    const schemas = objectAt(objectAt(found?.document, 'components'), 'schemas');
    const properties = objectAt(objectAt(schemas, 'io.k8s.api.core.v1.PodSpec'), 'properties');
    expect(properties?.['containers']).toMatchObject({
      'x-kubernetes-patch-merge-key': 'name',
      'x-kubernetes-patch-strategy': 'merge',
      'x-kubernetes-list-map-keys': ['name'],
    });
  });

  it("publishes a custom kind's own schema", () => {
    const found = openApiV3Document(
      { registry, customTypes: [widget] },
      { group: 'example.com', version: 'v1' },
    );
    const schemas = objectAt(objectAt(found?.document, 'components'), 'schemas');
    expect(schemas?.['com.example.v1.Widget']).toMatchObject({
      description: 'A widget.',
      properties: {
        spec: { description: 'What is wanted.' },
        metadata: { allOf: [{ $ref: expect.stringContaining('ObjectMeta') }] },
      },
      'x-kubernetes-group-version-kind': [{ group: 'example.com', version: 'v1', kind: 'Widget' }],
    });
  });

  it('changes the hash of one document only when a CRD changes', () => {
    const changed = { ...widget, openApiSchema: { ...openApiSchema, description: 'Another.' } };
    const before = objectAt(openApiV3Index({ registry, customTypes: [widget] }), 'paths');
    const after = objectAt(openApiV3Index({ registry, customTypes: [changed] }), 'paths');
    expect(after?.['apis/apps/v1']).toEqual(before?.['apis/apps/v1']);
    expect(after?.['apis/example.com/v1']).not.toEqual(before?.['apis/example.com/v1']);
  });

  it('has nothing for a group-version that is not served', () => {
    expect(
      openApiV3Document({ registry, customTypes: [] }, { group: 'none', version: 'v1' }),
    ).toBeUndefined();
  });
});
