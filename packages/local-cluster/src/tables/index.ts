export { type ColumnDefinition, type Table, type TableOptions, type TableRow, toTable } from './table.ts';
