import {
  type GroupVersionDefinition,
  loadResourceDefinitions,
  loadTypeDefinitions,
  type TypeDefinitions,
  type ValueDefinition,
  type FieldDefinition,
} from './definitions.ts';
import { apiVersionOf, type ResourceDefinition, type SchemaType, type TypeSchema } from './type-schema.ts';

/** Kubernetes' built-in types and resources, read from the package's data files. */
export class TypeRegistry {
  /** The raw table, for the protobuf reader. */
  readonly definitions: TypeDefinitions;
  readonly #groupVersions: readonly GroupVersionDefinition[];
  readonly #nameByKind = new Map<string, string>();
  readonly #nodes = new Map<string, TypeSchema>();
  readonly #resources: readonly ResourceDefinition[];

  constructor(definitions: TypeDefinitions, groupVersions: readonly GroupVersionDefinition[]) {
    this.definitions = definitions;
    this.#groupVersions = groupVersions;
    for (const [name, definition] of Object.entries(definitions)) {
      for (const gvk of definition.gvk ?? []) this.#nameByKind.set(gvk, name);
    }
    this.#resources = groupVersions.flatMap(resourcesOf);
  }

  static load(): TypeRegistry {
    return new TypeRegistry(loadTypeDefinitions(), loadResourceDefinitions());
  }

  /** Name of the definition of a kind, such as `io.k8s.api.core.v1.Pod`. */
  definitionName(group: string, version: string, kind: string): string | undefined {
    return this.#nameByKind.get(`${apiVersionOf({ group, version })}/${kind}`);
  }

  typeOf(group: string, version: string, kind: string): TypeSchema | undefined {
    const name = this.definitionName(group, version, kind);
    return name === undefined ? undefined : this.type(name);
  }

  /** A type by the name of its definition. Throws on a name the table doesn't have: a defect of the table. */
  type(name: string): TypeSchema {
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const definition = this.definitions[name];
    if (definition === undefined) throw new Error(`no type definition named ${name}`);
    const properties = new Map<string, TypeSchema>();
    const node: TypeSchema = {
      ...emptyNode,
      name,
      type: namedType(name, definition.type, definition.format),
      ...(definition.format === undefined ? {} : { format: definition.format }),
      ...(definition.mapType === undefined ? {} : { mapType: definition.mapType }),
      required: definition.required ?? [],
      properties,
      preserveUnknownFields: definition.fields === undefined && definition.type !== 'string',
    };
    // Registered before its fields are resolved: JSONSchemaProps refers to itself.
    this.#nodes.set(name, node);
    for (const [field, fieldDefinition] of Object.entries(definition.fields ?? {})) {
      properties.set(field, this.#field(fieldDefinition));
    }
    return node;
  }

  resources(): readonly ResourceDefinition[] {
    return this.#resources;
  }

  /** Group-versions in the order of discovery. */
  groupVersions(): readonly { readonly group: string; readonly version: string }[] {
    return this.#groupVersions;
  }

  #field(field: FieldDefinition): TypeSchema {
    const value = this.#value(field);
    return {
      ...value,
      ...(field.default === undefined ? {} : { default: field.default }),
      ...(field.listType === undefined ? {} : { listType: field.listType }),
      ...(field.listMapKeys === undefined ? {} : { listMapKeys: field.listMapKeys }),
      ...(field.mapType === undefined ? {} : { mapType: field.mapType }),
      ...(field.mergeKey === undefined ? {} : { patchMergeKey: field.mergeKey }),
      ...(field.patchStrategy === undefined
        ? {}
        : { patchStrategies: field.patchStrategy.split(',') as TypeSchema['patchStrategies'] }), // table vocabulary
    };
  }

  #value(value: ValueDefinition): TypeSchema {
    if (value.ref !== undefined) return this.type(value.ref);
    return {
      ...emptyNode,
      type: value.type ?? 'any',
      ...(value.format === undefined ? {} : { format: value.format }),
      ...(value.items === undefined ? {} : { items: this.#value(value.items) }),
      ...(value.values === undefined ? {} : { values: this.#value(value.values) }),
    };
  }
}

const emptyNode: TypeSchema = {
  source: 'built-in',
  type: 'any',
  nullable: false,
  properties: new Map(),
  required: [],
  listMapKeys: [],
  patchStrategies: [],
  preserveUnknownFields: false,
  embeddedResource: false,
};

function namedType(
  name: string,
  type: 'string' | 'object' | undefined,
  format: string | undefined,
): SchemaType {
  if (format === 'int-or-string' || name.endsWith('.Quantity')) return 'int-or-string';
  if (name.endsWith('.JSON') || name.includes('.JSONSchemaPropsOr')) return 'any';
  return type ?? 'object';
}

function resourcesOf(groupVersion: GroupVersionDefinition): ResourceDefinition[] {
  const { group, version } = groupVersion;
  return groupVersion.resources.map((resource) => ({
    group,
    version,
    kind: resource.kind,
    plural: resource.name,
    singular: resource.singular,
    namespaced: resource.namespaced,
    verbs: resource.verbs,
    shortNames: resource.shortNames ?? [],
    categories: resource.categories ?? [],
    subresources: (resource.subresources ?? []).map((subresource) => ({
      name: subresource.name,
      verbs: subresource.verbs,
      kind: subresource.kind,
      group: subresource.group ?? group,
      version: subresource.version ?? version,
    })),
  }));
}
