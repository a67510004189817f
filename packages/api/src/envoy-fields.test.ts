import { describe, expect, it } from '@jest/globals';
import { envoyEnum, envoyFields, envoyMessages } from './envoy-fields.ts';

describe('descriptions of fields', () => {
  it.each([
    [
      'envoy.config.listener.v3.Listener',
      1,
      { name: 'name', kind: 'scalar', type: 'string', label: 'singular' },
    ],
    [
      'envoy.config.listener.v3.Listener',
      3,
      {
        name: 'filter_chains',
        kind: 'message',
        type: 'envoy.config.listener.v3.FilterChain',
        label: 'repeated',
      },
    ],
    [
      'envoy.config.listener.v3.Listener',
      8,
      {
        name: 'drain_type',
        kind: 'enum',
        type: 'envoy.config.listener.v3.Listener.DrainType',
        label: 'singular',
      },
    ],
    [
      'envoy.config.route.v3.Route',
      13,
      { name: 'typed_per_filter_config', kind: 'message', type: 'google.protobuf.Any', label: 'map' },
    ],
    [
      'envoy.config.cluster.v3.Cluster',
      58,
      { name: 'dns_jitter', kind: 'newer', type: '', label: 'singular' },
    ],
  ] as const)('%s, field %d', (message, number, field) => {
    expect(envoyFields(message)?.get(number)).toEqual(field);
  });

  it('knows only what is compiled in', () => {
    expect(envoyFields('envoy.extensions.filters.http.lua.v3.Lua')).toBeUndefined();
  });

  it('names every type that it mentions', () => {
    for (const message of envoyMessages()) {
      for (const { kind, type } of envoyFields(message)?.values() ?? []) {
        if (kind === 'message') expect(envoyFields(type)).toBeDefined();
        if (kind === 'enum') expect(Object.keys(envoyEnum(type)).length).toBeGreaterThan(0);
      }
    }
  });
});
