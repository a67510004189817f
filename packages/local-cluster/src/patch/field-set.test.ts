import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  decodeFieldsV1,
  difference,
  emptyFieldSet,
  encodeFieldsV1,
  type FieldSet,
  formatFieldPath,
  intersection,
  members,
  pathSet,
  union,
} from './field-set.ts';

const element = fc.constantFrom('f:a', 'f:b', 'k:{"name":"x"}', 'k:{"port":80}', 'v:"s"');
const path = fc.array(element, { minLength: 1, maxLength: 4 });
const set = fc
  .array(path, { maxLength: 8 })
  .map((paths) => paths.reduce<FieldSet>((all, one) => union(all, pathSet(one)), emptyFieldSet));

function paths(fields: FieldSet): string[] {
  return [...members(fields)].map((one) => one.join(' ')).sort();
}

describe('field sets', () => {
  it('survive FieldsV1', () => {
    fc.assert(fc.property(set, (fields) => expect(decodeFieldsV1(encodeFieldsV1(fields))).toEqual(fields)));
  });

  it('behave as sets of paths', () => {
    fc.assert(
      fc.property(set, set, (a, b) => {
        const [left, right] = [new Set(paths(a)), new Set(paths(b))];
        expect(paths(union(a, b))).toEqual([...new Set([...left, ...right])].sort());
        expect(paths(difference(a, b))).toEqual([...left].filter((one) => !right.has(one)).sort());
        expect(paths(intersection(a, b))).toEqual([...left].filter((one) => right.has(one)).sort());
      }),
    );
  });

  it('print paths as conflicts name them', () => {
    const elements = [
      'f:spec',
      'f:containers',
      'k:{"name":"c"}',
      'f:ports',
      'k:{"containerPort":80,"protocol":"TCP"}',
      'v:"x"',
    ];
    expect(formatFieldPath(elements)).toBe(
      '.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"][="x"]',
    );
  });

  it.each([[{ x: {} }], [{ 'k:nonsense': {} }], [{ 'f:a': 'text' }], [{ 'k:1': {} }]])(
    'refuse %j as FieldsV1',
    (fields) => {
      expect(decodeFieldsV1(fields)).toBeUndefined();
    },
  );
});
