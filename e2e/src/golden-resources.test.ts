import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { envoyFromJson } from '@weft/api/envoy-json';
import { checkFields } from '@weft/proxy/testing';

/** What the control plane makes of objects, as its own tests have it: the engine must act on every field of it. */
const directory = path.join(import.meta.dirname, '../../packages/control-plane/src/networking/golden');
const TYPES = {
  listeners: 'envoy.config.listener.v3.Listener',
  routes: 'envoy.config.route.v3.RouteConfiguration',
  clusters: 'envoy.config.cluster.v3.Cluster',
  endpoints: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
} as const;

type Golden = Partial<Record<keyof typeof TYPES, Readonly<Record<string, object>>>>;

const resources = readdirSync(directory)
  .filter((file) => file.endsWith('.json'))
  .flatMap((file) => {
    // The golden test of the control plane writes these files.
    const golden = JSON.parse(readFileSync(path.join(directory, file), 'utf8')) as Golden;
    return (Object.keys(TYPES) as (keyof Golden)[]).flatMap((kind) =>
      Object.entries(golden[kind] ?? {}).map(([name, json]) => ({ file, type: TYPES[kind], name, json })),
    );
  });

describe('resources of the control plane are accepted by the engine', () => {
  it.each(resources)('$file: $name', ({ type, name, json }) => {
    const unknown: string[] = [];
    const onUnknown = (_: string, field: string): void => void unknown.push(field);
    expect(() => checkFields(type, envoyFromJson(type, json), { resource: name, onUnknown })).not.toThrow();
    expect(unknown).toEqual([]);
  });
});
