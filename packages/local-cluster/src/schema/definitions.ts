import { readFileSync } from 'node:fs';
import type { JsonValue } from './json.ts';

/** The shape of `data/kubernetes-schema.json`: Kubernetes' types with protobuf numbers and merge metadata. */
export interface TypeDefinition {
  readonly type?: 'string' | 'object';
  readonly format?: string;
  readonly fields?: Readonly<Record<string, FieldDefinition>>;
  readonly required?: readonly string[];
  /** `apps/v1/Deployment`, `v1/Pod` */
  readonly gvk?: readonly string[];
  readonly mapType?: 'atomic';
  /** Go structs that JSON inlines and protobuf nests: field numbers of the nested message by JSON name. */
  readonly protoInlined?: Readonly<
    Record<string, { readonly proto: number; readonly fields: Readonly<Record<string, number>> }>
  >;
}

export interface ValueDefinition {
  readonly type?: 'string' | 'array' | 'integer' | 'boolean' | 'object' | 'number';
  readonly ref?: string;
  readonly format?: string;
  readonly items?: ValueDefinition;
  readonly values?: ValueDefinition;
}

export interface FieldDefinition extends ValueDefinition {
  readonly proto?: number;
  readonly default?: JsonValue;
  readonly listType?: 'atomic' | 'set' | 'map';
  readonly listMapKeys?: readonly string[];
  readonly mapType?: 'atomic' | 'granular';
  readonly mergeKey?: string;
  readonly patchStrategy?: string;
}

export type TypeDefinitions = Readonly<Record<string, TypeDefinition>>;

/** The shape of `data/kubernetes-resources.json`. */
export interface GroupVersionDefinition {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly {
    readonly name: string;
    readonly kind: string;
    readonly singular: string;
    readonly namespaced: boolean;
    readonly verbs: readonly string[];
    readonly shortNames?: readonly string[];
    readonly categories?: readonly string[];
    readonly subresources?: readonly {
      readonly name: string;
      readonly kind: string;
      readonly group?: string;
      readonly version?: string;
      readonly verbs: readonly string[];
    }[];
  }[];
}

export function loadTypeDefinitions(): TypeDefinitions {
  // Our own data file; its shape is checked by definitions.test.ts.
  return (readData('kubernetes-schema.json') as { types: TypeDefinitions }).types;
}

export function loadResourceDefinitions(): readonly GroupVersionDefinition[] {
  return readData('kubernetes-resources.json') as GroupVersionDefinition[]; // as above
}

function readData(file: string): unknown {
  // The same depth from src/schema and dist/schema.
  return JSON.parse(readFileSync(new URL(`../../data/${file}`, import.meta.url), 'utf8'));
}
