import {
  type JsonObject,
  type JsonValue,
  objectAt,
  type ResourceDefinition,
  stringAt,
} from '../schema/index.ts';
import { age } from './cells.ts';
import { clusterColumns } from './cluster-columns.ts';
import { type Column, column } from './columns.ts';
import { customColumns } from './custom-columns.ts';
import { serviceKindColumns } from './service-columns.ts';
import { workloadColumns } from './workload-columns.ts';

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
  resource: Pick<ResourceDefinition, 'group' | 'kind'>,
  objects: readonly JsonObject[],
  options: TableOptions,
): Table {
  const columns =
    options.crdColumns === undefined
      ? (builtinColumns.get(`${resource.group}/${resource.kind}`) ?? plainColumns)
      : customColumns(options.crdColumns);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: options.metadata ?? {},
    columnDefinitions: columns.map(definition),
    rows: objects.map((object) => ({
      cells: columns.map(({ cell }) => cell(object, options.now)),
      ...rowObject(object, options.includeObject),
    })),
  };
}

const builtinColumns: ReadonlyMap<string, readonly Column[]> = new Map([
  ...workloadColumns,
  ...serviceKindColumns,
  ...clusterColumns,
]);

const plainColumns: readonly Column[] = [
  column('Name', (object) => stringAt(objectAt(object, 'metadata'), 'name') ?? ''),
  column('Age', age),
];

function definition({ name, type, priority }: Column): ColumnDefinition {
  // kubectl takes the row's label from the column with this format.
  return { name, type, format: name === 'Name' ? 'name' : '', description: '', priority };
}

function rowObject(object: JsonObject, include: TableOptions['includeObject']): { object?: JsonObject } {
  switch (include) {
    case 'None':
      return {};
    case 'Object':
      return { object };
    case 'Metadata': {
      const metadata = objectAt(object, 'metadata') ?? {};
      return { object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata } };
    }
  }
}
