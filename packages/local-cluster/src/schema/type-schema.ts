import type { JsonValue } from './json.ts';

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export function apiVersionOf(type: { readonly group: string; readonly version: string }): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

export type SchemaType =
  | 'object'
  | 'array'
  | 'string'
  | 'integer'
  | 'number'
  | 'boolean'
  | 'int-or-string'
  | 'any';

/**
 * One node of a type, whether it comes from Kubernetes' own definitions or from a CRD's OpenAPI v3 schema.
 * Pruning, defaulting, validation, strategic merge, server-side apply, and OpenAPI documents all walk this
 * model. Built-in types may be recursive (JSONSchemaProps), so walk along a value, never the schema alone.
 */
export interface TypeSchema {
  readonly source: 'built-in' | 'custom';
  /** Name of the definition, such as `io.k8s.api.core.v1.Pod`; only on named built-in types. */
  readonly name?: string;
  readonly type: SchemaType;
  readonly format?: string;
  readonly description?: string;
  readonly nullable: boolean;
  /** Fields of an object with a fixed structure. */
  readonly properties: ReadonlyMap<string, TypeSchema>;
  readonly required: readonly string[];
  /** Schema of the values of a map (`additionalProperties`). */
  readonly values?: TypeSchema;
  readonly items?: TypeSchema;
  readonly default?: JsonValue;
  /** `x-kubernetes-list-type`; absent means atomic. */
  readonly listType?: 'atomic' | 'set' | 'map';
  readonly listMapKeys: readonly string[];
  /** `x-kubernetes-map-type`; absent means granular. */
  readonly mapType?: 'atomic' | 'granular';
  /** `x-kubernetes-patch-merge-key` and `-patch-strategy`, for strategic merge; built-in types only. */
  readonly patchMergeKey?: string;
  readonly patchStrategies: readonly ('merge' | 'replace' | 'retainKeys')[];
  /** Members that the schema doesn't name are kept. */
  readonly preserveUnknownFields: boolean;
  /** The value is a whole Kubernetes object: apiVersion, kind and metadata are implied. */
  readonly embeddedResource: boolean;
  /** Value constraints of a CRD schema. */
  readonly constraints?: Constraints;
  /** There are CEL rules here or below; others needn't be walked for them. */
  readonly hasRules?: boolean;
}

export interface Constraints {
  readonly enum?: readonly JsonValue[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly allOf?: readonly TypeSchema[];
  readonly anyOf?: readonly TypeSchema[];
  readonly oneOf?: readonly TypeSchema[];
  readonly not?: TypeSchema;
  readonly rules?: readonly ValidationRule[];
}

/** One member of `x-kubernetes-validations`. */
export interface ValidationRule {
  readonly rule: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: string;
  readonly fieldPath?: string;
  readonly optionalOldSelf?: boolean;
}

/** A resource the API serves, as in discovery. */
export interface ResourceDefinition extends GroupVersionKind {
  readonly plural: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly subresources: readonly SubresourceDefinition[];
}

export interface SubresourceDefinition {
  /** `status`, `scale`, `log`… */
  readonly name: string;
  readonly verbs: readonly string[];
  /** The kind of its body, which may be of another group (`policy/v1 Eviction`). */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}
