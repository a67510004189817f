import { type JsonObject, type JsonValue, numberAt, objectAt, stringAt } from '../schema/index.ts';
import { age, since } from './cells.ts';
import { type Column, column } from './columns.ts';
import { evaluateJsonPath, parseJsonPath } from './json-path.ts';

const types = ['string', 'integer', 'number', 'boolean', 'date'] as const;

/** The columns of a custom kind: its name, then `additionalPrinterColumns`; by default, its age. */
export function customColumns(printerColumns: readonly JsonObject[]): readonly Column[] {
  const name = column('Name', (object) => stringAt(objectAt(object, 'metadata'), 'name') ?? '');
  const own = printerColumns.map(printerColumn);
  return own.length === 0 ? [name, column('Age', age, 'date')] : [name, ...own];
}

function printerColumn(definition: JsonObject): Column {
  const type = types.find((known) => known === stringAt(definition, 'type')) ?? 'string';
  const path = parseJsonPath(stringAt(definition, 'jsonPath') ?? '');
  return {
    name: stringAt(definition, 'name') ?? '',
    type,
    priority: (numberAt(definition, 'priority') ?? 0) > 0 ? 1 : 0,
    cell: (object, now) => {
      const values = path === undefined ? [] : evaluateJsonPath(path, object);
      return cell(type, values, now);
    },
  };
}

function cell(type: Column['type'], values: readonly JsonValue[], now: Date): JsonValue {
  const [value] = values;
  // kubectl prints nothing for a null cell.
  if (value === undefined || value === null) return null;
  switch (type) {
    case 'date':
      return typeof value === 'string' ? since(value, now) : '<unknown>';
    case 'string':
      return values.map((entry) => (typeof entry === 'string' ? entry : JSON.stringify(entry))).join(',');
    default:
      return typeof value === 'object' ? JSON.stringify(value) : value;
  }
}
