import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from '@jest/globals';
import { supportedFeatures } from './supported-features.ts';

const names = supportedFeatures.map(({ name }) => name);

it('claims features in the order that the CRD wants, and each once', () => {
  expect([...new Set(names)].sort()).toEqual(names);
});

it('claims nothing that the page on compatibility does not say works', () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../../../docs/compatibility.md'), 'utf8');
  const works = page
    .split('\n')
    .filter((line) => /\| works \|/.test(line))
    .join('\n');
  expect(names.filter((name) => !works.includes(`\`${name}\``))).toEqual([]);
});
