import {
  isObject,
  type JsonObject,
  type JsonValue,
  numberAt,
  objectAt,
  objectsAt,
  stringAt,
  stringsAt,
} from './json.ts';
import type { TypeRegistry } from './registry.ts';
import type { Constraints, SchemaType, TypeSchema, ValidationRule } from './type-schema.ts';

/** The type of one version of a CRD: a member of `spec.versions`. A version without a schema keeps everything. */
export function typeFromCrd(registry: TypeRegistry, crdVersion: JsonObject): TypeSchema {
  const openApi = objectAt(objectAt(crdVersion, 'schema'), 'openAPIV3Schema') ?? {
    type: 'object',
    'x-kubernetes-preserve-unknown-fields': true,
  };
  const root = typeFromOpenApi(openApi);
  const text = typeFromOpenApi({ type: 'string' });
  // Whatever the CRD says about them, these three are Kubernetes' own.
  const properties = new Map(root.properties)
    .set('apiVersion', text)
    .set('kind', text)
    .set('metadata', {
      ...registry.type(OBJECT_META),
      ...metadataConstraints(root.properties.get('metadata')),
    });
  return { ...root, type: 'object', properties };
}

const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';

/** A CRD may only constrain `metadata.name` and `generateName`; those constraints stay in force. */
function metadataConstraints(metadata: TypeSchema | undefined): Partial<TypeSchema> {
  return metadata?.constraints === undefined ? {} : { constraints: metadata.constraints };
}

/** One node of a structural OpenAPI v3 schema. Unknown keywords are ignored, as the API server does. */
export function typeFromOpenApi(openApi: JsonObject): TypeSchema {
  const properties = new Map<string, TypeSchema>();
  for (const [name, property] of Object.entries(objectAt(openApi, 'properties') ?? {})) {
    if (isObject(property)) properties.set(name, typeFromOpenApi(property));
  }
  const format = stringAt(openApi, 'format');
  const description = stringAt(openApi, 'description');
  const values = mapValues(openApi);
  const items = objectAt(openApi, 'items');
  const defaultValue = openApi['default'];
  const listType = oneOf(stringAt(openApi, 'x-kubernetes-list-type'), ['atomic', 'set', 'map'] as const);
  const mapType = oneOf(stringAt(openApi, 'x-kubernetes-map-type'), ['atomic', 'granular'] as const);
  const constraints = constraintsOf(openApi);
  const itemType = items === undefined ? undefined : typeFromOpenApi(items);
  const below = [...properties.values(), values, itemType];
  const hasRules = constraints.rules !== undefined || below.some((inner) => inner?.hasRules === true);
  return {
    source: 'custom',
    type: typeOf(openApi),
    ...(format === undefined ? {} : { format }),
    ...(description === undefined ? {} : { description }),
    nullable: openApi['nullable'] === true,
    properties,
    required: stringsAt(openApi, 'required'),
    ...(values === undefined ? {} : { values }),
    ...(itemType === undefined ? {} : { items: itemType }),
    ...(defaultValue === undefined ? {} : { default: defaultValue }),
    ...(listType === undefined ? {} : { listType }),
    listMapKeys: stringsAt(openApi, 'x-kubernetes-list-map-keys'),
    ...(mapType === undefined ? {} : { mapType }),
    patchStrategies: [],
    preserveUnknownFields: openApi['x-kubernetes-preserve-unknown-fields'] === true,
    embeddedResource: openApi['x-kubernetes-embedded-resource'] === true,
    ...(Object.keys(constraints).length === 0 ? {} : { constraints }),
    ...(hasRules ? { hasRules } : {}),
  };
}

function typeOf(openApi: JsonObject): SchemaType {
  if (openApi['x-kubernetes-int-or-string'] === true) return 'int-or-string';
  const types = ['object', 'array', 'string', 'integer', 'number', 'boolean'] as const;
  return oneOf(stringAt(openApi, 'type'), types) ?? 'any';
}

function mapValues(openApi: JsonObject): TypeSchema | undefined {
  const additional = openApi['additionalProperties'];
  if (isObject(additional)) return typeFromOpenApi(additional);
  return additional === true ? typeFromOpenApi({ 'x-kubernetes-preserve-unknown-fields': true }) : undefined;
}

/** Only the keywords that are given, so that a node without any carries no object. */
function constraintsOf(openApi: JsonObject): Constraints {
  const constraints: { -readonly [K in keyof Constraints]: Constraints[K] } = {};
  if (Array.isArray(openApi['enum'])) constraints.enum = openApi['enum'];
  const pattern = stringAt(openApi, 'pattern');
  if (pattern !== undefined) constraints.pattern = pattern;
  for (const keyword of numberKeywords) {
    const value = numberAt(openApi, keyword);
    if (value !== undefined) constraints[keyword] = value;
  }
  for (const keyword of ['exclusiveMinimum', 'exclusiveMaximum', 'uniqueItems'] as const) {
    if (openApi[keyword] === true) constraints[keyword] = true;
  }
  for (const keyword of ['allOf', 'anyOf', 'oneOf'] as const) {
    const schemas = objectsAt(openApi, keyword);
    if (schemas.length > 0) constraints[keyword] = schemas.map(typeFromOpenApi);
  }
  const not = objectAt(openApi, 'not');
  if (not !== undefined) constraints.not = typeFromOpenApi(not);
  const rules = objectsAt(openApi, 'x-kubernetes-validations');
  if (rules.length > 0) constraints.rules = rules.map(validationRule);
  return constraints;
}

const numberKeywords = [
  'minimum',
  'maximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
] as const;

function validationRule(rule: JsonObject): ValidationRule {
  const optional = (keyword: 'message' | 'messageExpression' | 'reason' | 'fieldPath') => {
    const value = stringAt(rule, keyword);
    return value === undefined ? {} : { [keyword]: value };
  };
  return {
    rule: stringAt(rule, 'rule') ?? '',
    ...optional('message'),
    ...optional('messageExpression'),
    ...optional('reason'),
    ...optional('fieldPath'),
    ...(rule['optionalOldSelf'] === true ? { optionalOldSelf: true } : {}),
  };
}

function oneOf<const T extends string>(value: JsonValue | undefined, allowed: readonly T[]): T | undefined {
  return allowed.find((entry) => entry === value);
}
