import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { parseYaml } from './yaml-text.ts';

it.each([
  ['brackets', '['.repeat(500_000)],
  ['braces', 'a: {'.repeat(200_000)],
  ['lists in lists', '- '.repeat(500_000)],
  ['keys that are mappings', '? '.repeat(500_000)],
  ['lists in lists on a later line', `a: 1\nb:\n${'- '.repeat(101)}c`],
  ['brackets on lines of their own', `a:\n${'  [\n'.repeat(101)}`],
  ['indentation', Array.from({ length: 500 }, (_, i) => `${' '.repeat(i)}a:\n`).join('')],
])('refuses too many %s, and the process lives on', (_, text) => {
  expect(() => parseYaml(text)).toThrow('nested more than 100 levels deep');
});

it('takes brackets in texts for what they are', () => {
  const [many, lines] = ['['.repeat(1_000), '  - [\n'.repeat(1_000)];
  expect(parseYaml(`a: "${many}"\nb: |\n${lines}c: x${many}\n# ${many}\n`)).toEqual({
    a: many,
    b: lines.replaceAll(/^ {2}/gm, ''),
    c: `x${many}`,
  });
});

it('reads back whatever can be written', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      expect(parseYaml(stringify(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
    { numRuns: 200 },
  );
});
