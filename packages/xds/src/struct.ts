import type { Node } from './delta-message.ts';

type Struct = NonNullable<Node['metadata']>;
type Value = NonNullable<Struct['fields']>[string];

/** JSON as `google.protobuf.Struct`; what JSON does not have becomes null. */
export function structOf(fields: Iterable<readonly [name: string, value: unknown]>): Struct {
  return { fields: Object.fromEntries([...fields].map(([name, value]) => [name, valueOf(value)])) };
}

function valueOf(value: unknown): Value {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(valueOf) } };
  if (typeof value === 'object' && value !== null) return { structValue: structOf(Object.entries(value)) };
  return { nullValue: 0 };
}
