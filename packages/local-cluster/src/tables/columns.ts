import type { JsonObject, JsonValue } from '../schema/index.ts';

/** One column: how it is announced, and what stands in it. */
export interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  /** 1: shown with `-o wide` only. */
  readonly priority: 0 | 1;
  readonly cell: (object: JsonObject, now: Date) => JsonValue;
}

type Cell = Column['cell'];

export function column(name: string, cell: Cell, type: Column['type'] = 'string'): Column {
  return { name, type, priority: 0, cell };
}

export function wide(name: string, cell: Cell): Column {
  return { name, type: 'string', priority: 1, cell };
}

export function count(name: string, cell: Cell): Column {
  return { name, type: 'integer', priority: 0, cell };
}
