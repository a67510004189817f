import { styleText } from 'node:util';
import { stringify } from 'yaml';

export type OutputFormat = 'short' | 'json' | 'yaml';

export type Colour = 'green' | 'red' | 'yellow' | 'cyan' | 'bold' | 'dim';

/** Colours where a person reads; plain text for pipes and where NO_COLOR asks for it. */
export function paint(colour: Colour, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  const wanted = stream.isTTY === true && process.env['NO_COLOR'] === undefined;
  return wanted ? styleText(colour, text) : text;
}

/** Columns as kubectl and istioctl print them: left-aligned, three spaces apart, headings in capitals. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((h, i) => Math.max(h.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd((widths[i] ?? 0) + 3)))
      .join('')
      .trimEnd();
  return [headings, ...rows].map((row) => `${line(row)}\n`).join('');
}

export function render(value: unknown, format: 'json' | 'yaml'): string {
  return format === 'json'
    ? `${JSON.stringify(value, null, 2)}\n`
    : stringify(value, { aliasDuplicateObjects: false });
}
