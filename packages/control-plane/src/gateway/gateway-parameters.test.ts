import { describe, expect, it } from '@jest/globals';
import { yaml } from '../ambient/test-objects.ts';
import { type ConfigMapFacts, type ParameterConfigMap, gatewayFacts } from '../sources/gateway-objects.ts';
import { gatewayParameters } from './gateway-parameters.ts';

const map = (name: string, data: Readonly<Record<string, string>>): ConfigMapFacts => ({
  namespace: 'shop',
  name,
  labels: {},
  data,
});

function read(
  reference: string,
  configMap: ParameterConfigMap | undefined,
  defaults: readonly ConfigMapFacts[] = [],
) {
  const gateway = gatewayFacts(
    yaml(`{ metadata: { name: wp, namespace: shop }, spec: { infrastructure: { ${reference} } } }`),
  );
  return gatewayParameters(gateway, { defaults, configMap: () => configMap });
}

const reference = 'parametersRef: { group: "", kind: ConfigMap, name: own }';

describe('parameters of a Gateway', () => {
  it("are those of its class by name, and then the Gateway's own", () => {
    const own = { kind: 'present', ...map('own', { service: 'spec: { a: 3 }' }) } as const;
    const defaults = [map('z', { service: 'spec: { a: 2 }' }), map('b', { service: 'spec: { a: 1 }' })];
    expect(read(reference, own, defaults)).toEqual({
      kind: 'valid',
      overlays: [1, 2, 3].map((a) => ({ service: { spec: { a } } })),
    });
    expect(read('', undefined)).toEqual({ kind: 'valid', overlays: [] });
  });

  it('are waited for', () => {
    expect(read(reference, undefined)).toEqual({ kind: 'unknown' });
  });

  it.each([
    [
      'of another kind',
      'parametersRef: { group: g, kind: K, name: n }',
      undefined,
      'only a ConfigMap is supported',
    ],
    [
      'that are not there',
      reference,
      { kind: 'absent', why: 'ConfigMap shop/own not found' },
      'shop/own not found',
    ],
    [
      'with a misspelt key',
      reference,
      { kind: 'present', ...map('own', { deploymnet: '{}' }) },
      'ConfigMap shop/own: nothing reads the key deploymnet; did you mean deployment?',
    ],
    [
      'that are no YAML',
      reference,
      { kind: 'present', ...map('own', { service: '{' }) },
      'ConfigMap shop/own: service is not YAML',
    ],
    [
      'that are no object',
      reference,
      { kind: 'present', ...map('own', { service: '- a' }) },
      'ConfigMap shop/own: service is not an object',
    ],
  ] as const)('%s are refused', (_case, parametersRef, configMap, message) => {
    expect(read(parametersRef, configMap)).toEqual({
      kind: 'invalid',
      message: expect.stringContaining(message),
    });
  });
});
