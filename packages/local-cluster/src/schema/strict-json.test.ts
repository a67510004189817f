import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseStrictJson, strictDecodingErrors } from './strict-json.ts';

describe('parseStrictJson', () => {
  it.each([
    ['{"a":1,"a":2}', ['a']],
    ['{"spec":{"x":[{"b":1},{"b":1,"b":2}]}}', ['spec.x[1].b']],
    ['{"a":"{\\"a\\":1,\\"a\\":2}","b":["a","a"]}', []],
    ['{"a":{"c":1},"b":{"c":1}}', []],
    [String.raw`{"a\u0062":1,"ab":2}`, ['ab']],
  ])('finds the duplicates of %s', (text, duplicates) => {
    expect(parseStrictJson(text).duplicateFields).toEqual(duplicates);
  });

  it('finds none in what JSON.stringify writes, and the value is the same', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const { value, duplicateFields } = parseStrictJson(JSON.stringify(JSON.parse(text)));
        expect(duplicateFields).toEqual([]);
        expect(JSON.stringify(value)).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });

  it('words errors as Kubernetes does', () => {
    expect(strictDecodingErrors(['spec.x'], ['spec.y'])).toEqual([
      'duplicate field "spec.y"',
      'unknown field "spec.x"',
    ]);
  });
});
