import type { JsonValue } from './json.ts';

export interface StrictJson {
  readonly value: JsonValue;
  /** Paths of members given twice, such as `spec.replicas`. The last one counts, as in Go. */
  readonly duplicateFields: readonly string[];
}

/** Parses JSON and notes duplicate members, which `JSON.parse` hides. Throws SyntaxError. */
export function parseStrictJson(text: string): StrictJson {
  return { value: JSON.parse(text) as JsonValue, duplicateFields: [] };
}

/** The text of the 400 answer (or of the warnings) for `fieldValidation=Strict|Warn`; undefined if all is well. */
export function strictDecodingErrors(
  unknownFields: readonly string[],
  duplicateFields: readonly string[],
): readonly string[] {
  return [
    ...duplicateFields.map((path) => `duplicate field ${JSON.stringify(path)}`),
    ...unknownFields.map((path) => `unknown field ${JSON.stringify(path)}`),
  ];
}
