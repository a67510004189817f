import { describe, expect, it } from '@jest/globals';
import { envoyToJson } from '@weft/api/envoy-json';
import { createMesh } from '../ambient/test-mesh.ts';
import { networkingGolden } from '../testing/golden-cases.ts';
import type { EncodedResource } from '../ambient/resources.ts';

/**
 * What the waypoint shop/wp is told of each case, in ProtoJSON beside it; `WEFT_UPDATE_GOLDEN=true` writes that anew.
 */

/** Cases about what all waypoints share; the others show only what tells them apart. */
const sharedCases = ['shared', 'trust-domain-aliases', 'mesh-config'];

function resourcesOf(name: string): unknown {
  const mesh = createMesh();
  mesh.apply(...networkingGolden.objects(name));
  expect(mesh.errors).toEqual([]);
  const { listeners, clusters, endpoints } = mesh.networking;
  const json = (type: string, resources: Iterable<EncodedResource>): unknown =>
    Object.fromEntries([...resources].map((r) => [r.name, envoyToJson(type, r.bytes)]));
  const isShared = ({ name: of }: EncodedResource): boolean => !of.includes('|') && of !== 'main_internal';
  const own = (set: ReadonlyMap<string, EncodedResource> | undefined): EncodedResource[] =>
    [...(set?.values() ?? [])].filter((resource) => sharedCases.includes(name) || !isShared(resource));
  return {
    listeners: json('envoy.config.listener.v3.Listener', own(listeners.get('shop/wp'))),
    clusters: json('envoy.config.cluster.v3.Cluster', own(clusters.get('shop/wp'))),
    endpoints: json('envoy.config.endpoint.v3.ClusterLoadAssignment', endpoints.values()),
  };
}

describe('translation to Envoy resources', () => {
  it.each(networkingGolden.cases)('%s', (name) => {
    const actual = resourcesOf(name);
    expect(actual).toEqual(networkingGolden.expected(name, actual));
  });
});
