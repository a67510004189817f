import { Readable } from 'node:stream';
import { TimeSlice } from '@weft/xds';

/** A list of which each member is made when it is written. */
export class LazyList {
  readonly members: Iterable<unknown>;

  constructor(members: Iterable<unknown>) {
    this.members = members;
  }
}

const CHUNK_LENGTH = 64 * 1024;

/**
 * `JSON.stringify(sections, undefined, 2)` in slices of a few milliseconds, for texts that would keep the event loop
 * for seconds. Sections may be LazyLists.
 */
export function jsonStream(sections: Readonly<Record<string, unknown>>): Readable {
  return Readable.from(sliced(pieces(sections)));
}

async function* sliced(texts: Iterable<string>): AsyncGenerator<string> {
  const slice = new TimeSlice();
  let chunk = '';
  for (const text of texts) {
    chunk += text;
    if (slice.isOver()) await slice.next();
    if (chunk.length < CHUNK_LENGTH) continue;
    yield chunk;
    chunk = '';
  }
  yield chunk;
}

function* pieces(sections: Readonly<Record<string, unknown>>): Generator<string> {
  let before = '{';
  for (const [name, value] of Object.entries(sections)) {
    if (value === undefined) continue;
    yield `${before}\n  ${JSON.stringify(name)}: `;
    before = ',';
    if (!(value instanceof LazyList)) {
      yield indented(value, '  ');
      continue;
    }
    let beforeMember = '[';
    for (const member of value.members) {
      yield `${beforeMember}\n    ${indented(member, '    ')}`;
      beforeMember = ',';
    }
    yield beforeMember === '[' ? '[]' : '\n  ]';
  }
  yield before === '{' ? '{}' : '\n}';
}

/** Line breaks within texts are escaped, so that all others are between values. */
function indented(value: unknown, indent: string): string {
  return JSON.stringify(value, undefined, 2).replaceAll('\n', `\n${indent}`);
}
