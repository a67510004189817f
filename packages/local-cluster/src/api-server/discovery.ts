import { apiVersionOf } from '../schema/index.ts';
import { objectAt, type JsonObject } from './object.ts';
import { type Resource, type ResourceCatalog } from './resource.ts';

/** `GET /api` and `GET /apis` for clients that accept `APIGroupDiscoveryList`. */
export function aggregatedDiscovery(
  catalog: ResourceCatalog,
  root: 'api' | 'apis',
  version: 'v2' | 'v2beta1',
): JsonObject {
  const groups = catalog.groups().filter(({ group }) => (group === '') === (root === 'api'));
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map(({ group, versions }) => ({
      metadata: group === '' ? {} : { name: group },
      versions: versions.map((v) => ({
        version: v,
        resources: resourcesOf(catalog, group, v).map((resource) => ({
          resource: resource.plural,
          responseKind: { group: resource.group, version: resource.version, kind: resource.kind },
          scope: resource.namespaced ? 'Namespaced' : 'Cluster',
          singularResource: resource.singular,
          verbs: [...resource.verbs],
          ...(resource.shortNames.length === 0 ? {} : { shortNames: [...resource.shortNames] }),
          ...(resource.categories.length === 0 ? {} : { categories: [...resource.categories] }),
          ...(resource.subresources.length === 0
            ? {}
            : {
                subresources: resource.subresources.map((subresource) => ({
                  subresource: subresource.name,
                  responseKind: {
                    group: subresource.group,
                    version: subresource.version,
                    kind: subresource.kind,
                  },
                  verbs: [...subresource.verbs],
                })),
              }),
        })),
        freshness: 'Current',
      })),
    })),
  };
}

export function legacyApiVersions(): JsonObject {
  return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
}

export function apiGroupList(catalog: ResourceCatalog): JsonObject {
  const groups = catalog.groups().filter(({ group }) => group !== '');
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(groupMembers) };
}

export function apiGroup(catalog: ResourceCatalog, name: string): JsonObject | undefined {
  const group = catalog.groups().find((candidate) => candidate.group === name && name !== '');
  return group === undefined ? undefined : { kind: 'APIGroup', apiVersion: 'v1', ...groupMembers(group) };
}

function groupMembers({ group, versions }: { group: string; versions: readonly string[] }): JsonObject {
  const entries = versions.map((version) => ({ groupVersion: apiVersionOf({ group, version }), version }));
  return { name: group, versions: entries, preferredVersion: entries[0] ?? {} };
}

export function apiResourceList(
  catalog: ResourceCatalog,
  group: string,
  version: string,
): JsonObject | undefined {
  const resources = resourcesOf(catalog, group, version);
  if (resources.length === 0) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf({ group, version }),
    resources: resources.flatMap((resource): JsonObject[] => [
      {
        name: resource.plural,
        singularName: resource.singular,
        namespaced: resource.namespaced,
        kind: resource.kind,
        verbs: [...resource.verbs],
        ...(resource.shortNames.length === 0 ? {} : { shortNames: [...resource.shortNames] }),
        ...(resource.categories.length === 0 ? {} : { categories: [...resource.categories] }),
      },
      ...resource.subresources.map((subresource) => ({
        name: `${resource.plural}/${subresource.name}`,
        singularName: '',
        namespaced: resource.namespaced,
        ...(subresource.group === group && subresource.version === version
          ? {}
          : { group: subresource.group, version: subresource.version }),
        kind: subresource.kind,
        verbs: [...subresource.verbs],
      })),
    ]),
  };
}

function resourcesOf(catalog: ResourceCatalog, group: string, version: string): readonly Resource[] {
  return catalog.all().filter((resource) => resource.group === group && resource.version === version);
}

/** Custom types in the form the OpenAPI documents want. */
export function customTypes(catalog: ResourceCatalog) {
  return catalog.all().flatMap((resource) => {
    const { custom, schema } = resource;
    if (custom === undefined || schema === undefined) return [];
    return [{ resource, openApiSchema: objectAt(custom.version, 'schema', 'openAPIV3Schema') ?? {}, schema }];
  });
}
