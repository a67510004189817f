import { describe, expect, it } from '@jest/globals';
import { typeFromCrd } from './crd-schema.ts';
import { pruneUnknown } from './prune.ts';
import { TypeRegistry } from './registry.ts';
import type { TypeSchema } from './type-schema.ts';

const registry = TypeRegistry.load();

function required(schema: TypeSchema | undefined): TypeSchema {
  if (schema === undefined) throw new Error('no such type');
  return schema;
}

describe('pruneUnknown', () => {
  it('drops unknown fields of built-in types at any depth and names them', () => {
    const pod = required(registry.typeOf('', 'v1', 'Pod'));
    const object = { metadata: { name: 'p', x: 1 }, spec: { containers: [{ name: 'c', imagee: 'x' }] } };
    expect(pruneUnknown(pod, object, 'Strict')).toEqual({
      object: { metadata: { name: 'p' }, spec: { containers: [{ name: 'c' }] } },
      unknownFields: ['metadata.x', 'spec.containers[0].imagee'],
    });
    expect(pruneUnknown(pod, object, 'Ignore').unknownFields).toEqual([]);
  });

  it('takes a null of a built-in type as not given', () => {
    const pod = required(registry.typeOf('', 'v1', 'Pod'));
    const { object } = pruneUnknown(pod, { spec: { volumes: [{ name: 'v', emptyDir: null }] } }, 'Strict');
    expect(object).toEqual({ spec: { volumes: [{ name: 'v' }] } });
  });

  it('takes a null label as an empty one', () => {
    const { object } = pruneUnknown(
      required(registry.typeOf('', 'v1', 'Pod')),
      { metadata: { annotations: { a: null } } },
      'Strict',
    );
    expect(object).toEqual({ metadata: { annotations: { a: '' } } });
  });

  it('keeps what a custom type says it keeps', () => {
    const schema = typeFromCrd(registry, {
      schema: {
        openAPIV3Schema: {
          type: 'object',
          properties: {
            spec: {
              type: 'object',
              properties: {
                open: {
                  type: 'object',
                  'x-kubernetes-preserve-unknown-fields': true,
                  properties: { known: { type: 'object', properties: {} } },
                },
                embedded: { type: 'object', 'x-kubernetes-embedded-resource': true, properties: {} },
                map: {
                  type: 'object',
                  additionalProperties: { type: 'object', properties: { a: { type: 'string' } } },
                },
              },
            },
          },
        },
      },
    });
    const spec = {
      open: { any: 1, known: { gone: 1 } },
      embedded: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, gone: 1 },
      map: { k: { a: 'b', gone: 1 } },
      gone: null,
    };
    const { object, unknownFields } = pruneUnknown(schema, { spec }, 'Strict');
    expect(object).toEqual({
      spec: {
        open: { any: 1, known: {} },
        embedded: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' } },
        map: { k: { a: 'b' } },
      },
    });
    expect(unknownFields).toEqual([
      'spec.open.known.gone',
      'spec.embedded.gone',
      'spec.map.k.gone',
      'spec.gone',
    ]);
  });
});
