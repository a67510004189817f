import type { JsonValue } from './json.ts';

export interface StrictJson {
  readonly value: JsonValue;
  /** Paths of members given twice, such as `spec.replicas`. The last one counts, as in Go. */
  readonly duplicateFields: readonly string[];
}

/** Parses JSON and notes duplicate members, which `JSON.parse` hides. Throws SyntaxError. */
export function parseStrictJson(text: string): StrictJson {
  const value = JSON.parse(text) as JsonValue; // JSON.parse returns nothing else
  return { value, duplicateFields: duplicateMembers(text) };
}

/** The parts of `strict decoding error: …`: for a 400 answer (Strict) or warnings (Warn). */
export function strictDecodingErrors(
  unknownFields: readonly string[],
  duplicateFields: readonly string[],
): readonly string[] {
  return [
    ...duplicateFields.map((path) => `duplicate field ${JSON.stringify(path)}`),
    ...unknownFields.map((path) => `unknown field ${JSON.stringify(path)}`),
  ];
}

/** An open object (its keys so far) or list (its index). */
interface Frame {
  readonly path: string;
  readonly keys?: Set<string>;
  index: number;
  /** Path of the member being read. */
  member: string;
}

/**
 * One pass over text that is known to be valid JSON, so only strings and structure matter. A string is a key
 * when it stands in an object right after `{` or `,`.
 */
function duplicateMembers(text: string): string[] {
  const duplicates: string[] = [];
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;
  const stack: Frame[] = [];
  let expectKey = false;
  for (const [symbol] of text.matchAll(token)) {
    const frame = stack.at(-1);
    switch (symbol) {
      case '{':
      case '[': {
        const path = frame === undefined ? '' : memberPath(frame);
        stack.push({ path, index: 0, member: '', ...(symbol === '{' ? { keys: new Set<string>() } : {}) });
        expectKey = symbol === '{';
        break;
      }
      case '}':
      case ']':
        stack.pop();
        expectKey = false;
        break;
      case ',':
        if (frame !== undefined) frame.index += 1;
        expectKey = frame?.keys !== undefined;
        break;
      case ':':
        break;
      default:
        if (!expectKey || frame?.keys === undefined) break;
        expectKey = false;
        frame.member = JSON.parse(symbol) as string; // a string token
        if (frame.keys.has(frame.member)) duplicates.push(memberPath(frame));
        frame.keys.add(frame.member);
    }
  }
  return duplicates;
}

function memberPath(frame: Frame): string {
  if (frame.keys === undefined) return `${frame.path}[${frame.index}]`;
  return frame.path === '' ? frame.member : `${frame.path}.${frame.member}`;
}
