import type { FieldDefinition, TypeDefinition, ValueDefinition } from '../schema/definitions.ts';
import type { GroupVersionKind, JsonObject, TypeRegistry } from '../schema/index.ts';

/** Built-in definitions as OpenAPI v3 schemas, collected with everything they refer to. */
export class SchemaCollector {
  readonly #registry: TypeRegistry;
  readonly #schemas = new Map<string, JsonObject>();

  constructor(registry: TypeRegistry) {
    this.#registry = registry;
  }

  /** Adds a definition and all that it refers to; returns the reference to it. */
  add(name: string): JsonObject {
    const pending = [name];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const definition = this.#registry.definitions[next];
      if (definition === undefined || this.#schemas.has(next)) continue;
      this.#schemas.set(next, schemaOf(next, definition));
      for (const field of Object.values(definition.fields ?? {})) pending.push(...references(field));
    }
    return reference(name);
  }

  set(name: string, schema: JsonObject): void {
    this.#schemas.set(name, schema);
  }

  /** In the order of their names, so that equal contents give equal documents. */
  schemas(): JsonObject {
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

export function reference(name: string): JsonObject {
  return { $ref: `#/components/schemas/${name}` };
}

export function gvkExtension(...kinds: readonly GroupVersionKind[]): JsonObject {
  const entries = kinds.map(({ group, version, kind }) => ({ group, kind, version }));
  return { 'x-kubernetes-group-version-kind': entries };
}

function references(value: ValueDefinition): string[] {
  return [
    ...(value.ref === undefined ? [] : [value.ref]),
    ...(value.items === undefined ? [] : references(value.items)),
    ...(value.values === undefined ? [] : references(value.values)),
  ];
}

function schemaOf(name: string, definition: TypeDefinition): JsonObject {
  const fields = Object.entries(definition.fields ?? {});
  return {
    ...scalarSchema(name, definition),
    ...(fields.length === 0
      ? {}
      : { properties: Object.fromEntries(fields.map(([key, field]) => [key, fieldSchema(field)])) }),
    ...(definition.required === undefined ? {} : { required: [...definition.required] }),
    ...(definition.mapType === undefined ? {} : { 'x-kubernetes-map-type': definition.mapType }),
    ...(definition.gvk === undefined ? {} : gvkExtension(...definition.gvk.map(parseGvk))),
  };
}

function scalarSchema(name: string, definition: TypeDefinition): JsonObject {
  if (definition.format === 'int-or-string') {
    return { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] };
  }
  if (name.endsWith('.Quantity')) return { oneOf: [{ type: 'string' }, { type: 'number' }] };
  const type = definition.type ?? (definition.fields === undefined ? undefined : 'object');
  return {
    ...(type === undefined ? {} : { type }),
    ...(definition.format === undefined ? {} : { format: definition.format }),
  };
}

function fieldSchema(field: FieldDefinition): JsonObject {
  const extensions: JsonObject = {
    ...(field.default === undefined ? {} : { default: field.default }),
    ...(field.listType === undefined ? {} : { 'x-kubernetes-list-type': field.listType }),
    ...(field.listMapKeys === undefined ? {} : { 'x-kubernetes-list-map-keys': [...field.listMapKeys] }),
    ...(field.mapType === undefined ? {} : { 'x-kubernetes-map-type': field.mapType }),
    ...(field.mergeKey === undefined ? {} : { 'x-kubernetes-patch-merge-key': field.mergeKey }),
    ...(field.patchStrategy === undefined ? {} : { 'x-kubernetes-patch-strategy': field.patchStrategy }),
  };
  // OpenAPI 3.0 ignores whatever stands beside a $ref, so it is wrapped.
  if (field.ref !== undefined) return { allOf: [reference(field.ref)], ...extensions };
  return { ...valueSchema(field), ...extensions };
}

function valueSchema(value: ValueDefinition): JsonObject {
  if (value.ref !== undefined) return reference(value.ref);
  return {
    ...(value.type === undefined ? {} : { type: value.type }),
    ...(value.format === undefined ? {} : { format: value.format }),
    ...(value.items === undefined ? {} : { items: valueSchema(value.items) }),
    ...(value.values === undefined ? {} : { additionalProperties: valueSchema(value.values) }),
  };
}

/** `apps/v1/Deployment`, `v1/Pod` */
function parseGvk(text: string): GroupVersionKind {
  const parts = text.split('/');
  const [kind = '', version = '', group = ''] = parts.reverse();
  return { group, version, kind };
}
