import type { JsonObject, JsonValue, ResourceDefinition } from '../schema/index.ts';

export interface ColumnDefinition {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  /** 0 is always shown, 1 with `-o wide`. */
  readonly priority: number;
}

export interface TableRow {
  readonly cells: JsonValue[];
  readonly object?: JsonObject;
}

/** `meta.k8s.io/v1 Table`, ready to be serialised. */
export interface Table {
  readonly kind: 'Table';
  readonly apiVersion: 'meta.k8s.io/v1';
  readonly metadata: JsonObject;
  readonly columnDefinitions: readonly ColumnDefinition[];
  readonly rows: readonly TableRow[];
}

export interface TableOptions {
  readonly includeObject: 'None' | 'Metadata' | 'Object';
  /** `additionalPrinterColumns` of the CRD version; absent for built-in kinds. */
  readonly crdColumns?: readonly JsonObject[];
  /** ListMeta of the answer: resourceVersion, continue, remainingItemCount. */
  readonly metadata?: JsonObject;
  readonly now: Date;
}

/** Objects as the rows that kubectl prints. */
export function toTable(
  _resource: Pick<ResourceDefinition, 'group' | 'kind'>,
  _objects: readonly JsonObject[],
  options: TableOptions,
): Table {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: options.metadata ?? {},
    columnDefinitions: [],
    rows: [],
  };
}
