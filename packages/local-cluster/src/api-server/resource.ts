import {
  apiVersionOf,
  typeFromCrd,
  type ResourceDefinition,
  type SubresourceDefinition,
  type TypeRegistry,
  type TypeSchema,
} from '../schema/index.ts';
import { qualified } from './api-error.ts';
import { objectAt, objectsAt, stringAt, stringsAt, type ApiObject, type JsonObject } from './object.ts';
import type { Store } from './store/store.ts';

/** A served version of a resource, built in or from a CRD. */
export interface Resource extends ResourceDefinition {
  readonly apiVersion: string;
  /** Name of its collection in the store; the same for all versions. */
  readonly collection: string;
  readonly schema: TypeSchema | undefined;
  readonly custom: CustomResource | undefined;
  readonly selectableFields: readonly string[];
}

export interface CustomResource {
  readonly definition: ApiObject;
  /** The member of `spec.versions`. */
  readonly version: JsonObject;
  readonly storageApiVersion: string;
  readonly columns: readonly JsonObject[] | undefined;
  readonly scalePaths: ScalePaths | undefined;
}

/** JSONPaths of a custom scale subresource, as lists of field names. */
export interface ScalePaths {
  readonly spec: readonly string[];
  readonly status: readonly string[];
  readonly selector: readonly string[] | undefined;
}

export const CRD_COLLECTION = 'customresourcedefinitions.apiextensions.k8s.io';

/** Every resource that is served now. Follows the CRDs in the store. */
export class ResourceCatalog {
  readonly registry: TypeRegistry;
  private readonly store: Store;
  private readonly builtIn = new Map<string, Resource>();
  private readonly customByDefinition = new Map<string, readonly Resource[]>();
  private byPath = new Map<string, Resource>();
  private generationCount = 0;

  constructor(registry: TypeRegistry, store: Store) {
    this.registry = registry;
    this.store = store;
    for (const definition of registry.resources()) {
      const resource = builtInResource(registry, definition);
      this.builtIn.set(pathOf(resource.group, resource.version, resource.plural), resource);
    }
    for (const definition of store.list(CRD_COLLECTION)) this.load(definition);
    this.reindex();
    store.subscribe(CRD_COLLECTION, ({ type, object }) => {
      if (type === 'DELETED') this.customByDefinition.delete(object.metadata.name);
      else this.load(object);
      this.reindex();
    });
  }

  /** Rises with every change, for caches of discovery and OpenAPI documents. */
  get generation(): number {
    return this.generationCount;
  }

  find(group: string, version: string, plural: string): Resource | undefined {
    return this.byPath.get(pathOf(group, version, plural));
  }

  findKind(group: string, version: string, kind: string): Resource | undefined {
    return this.all().find((r) => r.group === group && r.version === version && r.kind === kind);
  }

  all(): readonly Resource[] {
    return [...this.byPath.values()];
  }

  /** Groups with their versions, the preferred one first; built-in groups come first. */
  groups(): readonly { readonly group: string; readonly versions: readonly string[] }[] {
    const groups = new Map<string, Set<string>>();
    for (const { group, version } of this.byPath.values()) {
      const versions = groups.get(group) ?? new Set();
      versions.add(version);
      groups.set(group, versions);
    }
    return [...groups].map(([group, versions]) => ({ group, versions: [...versions].sort(compareVersions) }));
  }

  private load(definition: ApiObject): void {
    this.customByDefinition.set(definition.metadata.name, customResources(this.registry, definition));
  }

  private reindex(): void {
    const custom = [...this.customByDefinition.values()].flat();
    custom.sort((a, b) => (a.group < b.group ? -1 : a.group > b.group ? 1 : 0));
    this.byPath = new Map(this.builtIn);
    for (const resource of custom) {
      const path = pathOf(resource.group, resource.version, resource.plural);
      if (!this.byPath.has(path)) this.byPath.set(path, resource);
    }
    this.generationCount = this.store.revision;
  }
}

function pathOf(group: string, version: string, plural: string): string {
  return `${group}/${version}/${plural}`;
}

function builtInResource(registry: TypeRegistry, definition: ResourceDefinition): Resource {
  return {
    ...definition,
    apiVersion: apiVersionOf(definition),
    collection: qualified(definition),
    schema: registry.typeOf(definition.group, definition.version, definition.kind),
    custom: undefined,
    selectableFields: [],
  };
}

const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const subresourceVerbs = ['get', 'patch', 'update'];

/** The served versions of a CRD whose names were accepted. */
function customResources(registry: TypeRegistry, definition: ApiObject): readonly Resource[] {
  const accepted = objectsAt(definition, 'status', 'conditions').some(
    ({ type, status }) => type === 'Established' && status === 'True',
  );
  if (!accepted) return [];
  const group = stringAt(definition, 'spec', 'group') ?? '';
  const names = objectAt(definition, 'spec', 'names') ?? {};
  const plural = stringAt(names, 'plural') ?? '';
  const kind = stringAt(names, 'kind') ?? '';
  const versions = objectsAt(definition, 'spec', 'versions');
  const storage =
    stringAt(
      versions.find(({ storage: isStorage }) => isStorage === true),
      'name',
    ) ?? '';
  return versions
    .filter(({ served }) => served === true)
    .map((version): Resource => {
      const name = stringAt(version, 'name') ?? '';
      const schema = typeFromCrd(registry, version);
      return {
        group,
        version: name,
        kind,
        plural,
        singular: stringAt(names, 'singular') ?? kind.toLowerCase(),
        namespaced: stringAt(definition, 'spec', 'scope') === 'Namespaced',
        verbs: allVerbs,
        shortNames: stringsAt(names, 'shortNames'),
        categories: stringsAt(names, 'categories'),
        subresources: customSubresources(version, { group, version: name, kind }),
        apiVersion: `${group}/${name}`,
        collection: `${plural}.${group}`,
        schema,
        custom: {
          definition,
          version,
          storageApiVersion: `${group}/${storage}`,
          columns:
            'additionalPrinterColumns' in version
              ? objectsAt(version, 'additionalPrinterColumns')
              : undefined,
          scalePaths: scalePathsOf(objectAt(version, 'subresources', 'scale')),
        },
        selectableFields: objectsAt(version, 'selectableFields').map((f) =>
          (stringAt(f, 'jsonPath') ?? '').slice(1),
        ),
      };
    });
}

function customSubresources(
  version: JsonObject,
  type: { group: string; version: string; kind: string },
): SubresourceDefinition[] {
  const subresources = objectAt(version, 'subresources') ?? {};
  const found: SubresourceDefinition[] = [];
  if (objectAt(subresources, 'scale') !== undefined) {
    found.push({
      name: 'scale',
      verbs: subresourceVerbs,
      group: 'autoscaling',
      version: 'v1',
      kind: 'Scale',
    });
  }
  if (objectAt(subresources, 'status') !== undefined) {
    found.push({ name: 'status', verbs: subresourceVerbs, ...type });
  }
  return found;
}

function scalePathsOf(scale: JsonObject | undefined): ScalePaths | undefined {
  if (scale === undefined) return undefined;
  const path = (field: string) => (stringAt(scale, field) ?? '').split('.').filter((name) => name !== '');
  const selector = path('labelSelectorPath');
  return {
    spec: path('specReplicasPath'),
    status: path('statusReplicasPath'),
    selector: selector.length === 0 ? undefined : selector,
  };
}

/** Kubernetes' version order: v2 before v1 before v1beta1 before v1alpha2, then the rest by name. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [versionRank(a), versionRank(b)];
  if (x === undefined || y === undefined) return x === y ? (a < b ? -1 : 1) : x === undefined ? 1 : -1;
  return y.stability - x.stability || y.major - x.major || y.minor - x.minor;
}

function versionRank(version: string): { stability: number; major: number; minor: number } | undefined {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (match === null) return undefined;
  const stability = match[2] === undefined ? 2 : match[2] === 'beta' ? 1 : 0;
  return { stability, major: Number(match[1]), minor: Number(match[3] ?? 0) };
}

export function hasSubresource(resource: ResourceDefinition, name: string): boolean {
  return resource.subresources.some((subresource) => subresource.name === name);
}
