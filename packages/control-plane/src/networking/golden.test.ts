import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { envoyToJson } from '@weft/api/envoy-json';
import { createMesh } from '../ambient/test-mesh.ts';
import { goldenCases, goldenDirectory, goldenObjects } from '../testing/golden-cases.ts';
import type { EncodedResource } from '../ambient/resources.ts';

/**
 * What the waypoint shop/wp is told of each case, in ProtoJSON beside it.
 * `WEFT_UPDATE_GOLDEN=true` writes what is there now; the diff is then to be read like code.
 */
const update = process.env['WEFT_UPDATE_GOLDEN'] === 'true';

/** The parts that tell one case from another; what all waypoints share is in the case `shared`. */
function resourcesOf(name: string): unknown {
  const mesh = createMesh();
  mesh.apply(...goldenObjects(name));
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
  it.each(goldenCases)('%s', (name) => {
    const actual = resourcesOf(name);
    const file = path.join(goldenDirectory, `${name}.json`);
    if (update) writeFileSync(file, `${JSON.stringify(actual, undefined, 2)}\n`);
    expect(actual).toEqual(JSON.parse(readFileSync(file, 'utf8')));
  });
});
