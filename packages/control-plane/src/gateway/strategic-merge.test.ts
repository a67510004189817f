import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { type Json, strategicMerge } from './strategic-merge.ts';

const json = (text: string): Json => parse(text) as Json; // the test vouches for what it wrote

describe('strategic merge', () => {
  it.each([
    [
      'adds and replaces fields',
      '{ a: 1, b: { c: 2 } }',
      '{ a: 3, b: { d: 4 } }',
      '{ a: 3, b: { c: 2, d: 4 } }',
    ],
    ['removes fields by null', '{ a: 1, b: 2 }', '{ a: null }', '{ b: 2 }'],
    ['replaces lists that have no key', '{ args: [a, b] }', '{ args: [c] }', '{ args: [c] }'],
    [
      'merges lists by their key',
      '{ env: [{ name: a, value: "1" }, { name: b, value: "2" }] }',
      '{ env: [{ name: b, value: "3" }, { name: c, value: "4" }] }',
      '{ env: [{ name: a, value: "1" }, { name: b, value: "3" }, { name: c, value: "4" }] }',
    ],
    [
      "takes a Service's ports by number, and a container's",
      '{ ports: [{ port: 1, name: a }] }',
      '{ ports: [{ port: 1, nodePort: 2 }] }',
      '{ ports: [{ port: 1, name: a, nodePort: 2 }] }',
    ],
    [
      'removes items',
      '{ volumes: [{ name: a }, { name: b }] }',
      '{ volumes: [{ name: a, $patch: delete }] }',
      '{ volumes: [{ name: b }] }',
    ],
    [
      'removes what is not there',
      '{ volumes: [] }',
      '{ volumes: [{ name: a, $patch: delete }] }',
      '{ volumes: [] }',
    ],
    ['replaces objects', '{ a: { b: 1 } }', '{ a: { $patch: replace, c: 2 } }', '{ a: { c: 2 } }'],
    ['makes what is not there', '{}', '{ a: { b: [{ c: 1 }] } }', '{ a: { b: [{ c: 1 }] } }'],
  ])('%s', (_case, base, patch, expected) => {
    expect(strategicMerge(json(base), json(patch))).toEqual(json(expected));
  });

  it('changes nothing of what it merges into', () => {
    const base = json('{ env: [{ name: a, value: "1" }] }');
    strategicMerge(base, json('{ env: [{ name: a, value: "2" }] }'));
    expect(base).toEqual(json('{ env: [{ name: a, value: "1" }] }'));
  });
});
