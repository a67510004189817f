import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { envoyToJson } from '@weft/api/envoy-json';
import { parseAllDocuments } from 'yaml';
import { createMesh } from '../ambient/test-mesh.ts';
import type { EncodedResource } from '../ambient/resources.ts';

/**
 * Objects as users write them, in golden/<case>.yaml, and what the waypoint shop/wp is told, in ProtoJSON beside it.
 * `WEFT_UPDATE_GOLDEN=true` writes what is there now; the diff is then to be read like code.
 */
const directory = path.join(import.meta.dirname, '../../src/networking/golden');
const update = process.env['WEFT_UPDATE_GOLDEN'] === 'true';
const cases = readdirSync(directory)
  .filter((file) => file.endsWith('.yaml') && file !== 'base.yaml')
  .map((file) => file.slice(0, -'.yaml'.length));

const read = (file: string): string => readFileSync(path.join(directory, file), 'utf8');
const documents = (text: string): string[] =>
  parseAllDocuments(text).flatMap((document) => (document.contents === null ? [] : [document.toString()]));

/** The parts that tell one case from another; what all waypoints share is in the case `shared`. */
function resourcesOf(name: string): unknown {
  const mesh = createMesh();
  mesh.apply(...documents(read('base.yaml')), ...documents(read(`${name}.yaml`)));
  expect(mesh.errors).toEqual([]);
  const { listeners, clusters, endpoints } = mesh.networking;
  const json = (type: string, resources: Iterable<EncodedResource>): unknown =>
    Object.fromEntries([...resources].map((r) => [r.name, envoyToJson(type, r.bytes)]));
  const isShared = ({ name: of }: EncodedResource): boolean => !of.includes('|') && of !== 'main_internal';
  const own = (set: ReadonlyMap<string, EncodedResource> | undefined): EncodedResource[] =>
    [...(set?.values() ?? [])].filter((resource) => name === 'shared' || !isShared(resource));
  return {
    listeners: json('envoy.config.listener.v3.Listener', own(listeners.get('shop/wp'))),
    clusters: json('envoy.config.cluster.v3.Cluster', own(clusters.get('shop/wp'))),
    endpoints: json('envoy.config.endpoint.v3.ClusterLoadAssignment', endpoints.values()),
  };
}

describe('translation to Envoy resources', () => {
  it.each(cases)('%s', (name) => {
    const actual = resourcesOf(name);
    const file = path.join(directory, `${name}.json`);
    if (update) writeFileSync(file, `${JSON.stringify(actual, undefined, 2)}\n`);
    expect(actual).toEqual(JSON.parse(read(`${name}.json`)));
  });
});
