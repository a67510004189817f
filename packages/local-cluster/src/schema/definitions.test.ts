import { describe, expect, it } from '@jest/globals';
import type { ValueDefinition } from './definitions.ts';
import { loadTypeDefinitions } from './definitions.ts';
import { TypeRegistry } from './registry.ts';

const registry = TypeRegistry.load();

describe('the type table', () => {
  it('defines every type that it refers to', () => {
    const definitions = loadTypeDefinitions();
    const refs = (value: ValueDefinition): string[] => [
      ...(value.ref === undefined ? [] : [value.ref]),
      ...(value.items === undefined ? [] : refs(value.items)),
      ...(value.values === undefined ? [] : refs(value.values)),
    ];
    const fields = Object.values(definitions).flatMap((type) => Object.values(type.fields ?? {}));
    const missing = fields.flatMap(refs).filter((name) => definitions[name] === undefined);
    expect(missing).toEqual([]);
  });

  it('has a type for every resource', () => {
    const untyped = registry
      .resources()
      .filter(({ group, version, kind }) => registry.typeOf(group, version, kind) === undefined);
    expect(untyped.map(({ kind }) => kind)).toEqual([]);
  });

  it('carries the merge keys of lists that merge by key', () => {
    const spec = registry.typeOf('', 'v1', 'Pod')?.properties.get('spec');
    const containers = spec?.properties.get('containers');
    expect(containers).toMatchObject({ listType: 'map', listMapKeys: ['name'], patchMergeKey: 'name' });
    expect(containers?.items?.properties.get('ports')?.listMapKeys).toEqual(['containerPort', 'protocol']);
    expect(spec?.properties.get('volumes')?.patchStrategies).toEqual(['merge', 'retainKeys']);
  });
});
