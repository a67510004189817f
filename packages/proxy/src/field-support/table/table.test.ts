import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { envoyFields } from '@weft/api/envoy-fields';
import { words } from '../support.ts';
import { statesOf, supportTable } from './index.ts';

const sources = path.join(import.meta.dirname, '../../../src');
const entries = Object.entries(supportTable);

describe('the table of supported fields', () => {
  it.each(entries)('%s: names fields that the message has, each once', (message, support) => {
    const known = [...(envoyFields(message)?.values() ?? [])].map(({ name }) => name);
    expect(envoyFields(message)).toBeDefined();
    const named = [...Object.values(support.works ?? {}), ...Object.values(support.ignored ?? {})].flatMap(
      words,
    );
    expect(named.filter((field) => !known.includes(field))).toEqual([]);
    expect(named).toHaveLength(new Set(named).size);
    const limited = [...Object.keys(support.only ?? {}), ...words(support.open ?? '')];
    expect(limited.filter((field) => !named.includes(field))).toEqual([]);
  });

  it('names tests that there are', () => {
    const tests = new Set(entries.flatMap(([, { works = {} }]) => Object.keys(works)));
    expect([...tests].filter((test) => !existsSync(path.join(sources, test)))).toEqual([]);
  });

  it('says of no field that it works when its message is refused', () => {
    const refused = entries.flatMap(([message]) =>
      [...(envoyFields(message)?.values() ?? [])]
        .filter(({ name, kind, type }) => {
          const works = statesOf(message)?.of(name).kind === 'works';
          return works && kind === 'message' && !type.startsWith('google.') && statesOf(type) === undefined;
        })
        .map(({ name }) => `${message}.${name}`),
    );
    expect(refused).toEqual([]);
  });

  it('says of no field that it works which the decoders drop', () => {
    const dropped = entries.flatMap(([message]) =>
      [...(envoyFields(message)?.values() ?? [])]
        .filter(({ name, kind }) => kind === 'newer' && statesOf(message)?.of(name).kind === 'works')
        .map(({ name }) => `${message}.${name}`),
    );
    expect(dropped).toEqual([]);
  });
});
