import { google, io } from '@weft/api/envoy';
import { describe, expect, it } from '@jest/globals';
import { HeaderMap, type Cluster, type MetadataStruct } from '../../engine/types.ts';
import { structToPlain } from '../message.ts';
import { compile, get, pass, respond, testEngine, testRoute, testStream } from '../testing/stream.ts';
import { peerMetadata } from './peer-metadata.ts';

const { Config } = io.istio.http.peer_metadata;
const text = (value: string) => ({ stringValue: value });
const METADATA = {
  NAME: 'web-1',
  NAMESPACE: 'shop',
  WORKLOAD_NAME: 'web',
  CLUSTER_ID: 'east',
  OWNER: 'kubernetes://apis/apps/v1/namespaces/shop/deployments/web',
  LABELS: { app: 'store', 'service.istio.io/canonical-name': 'we b', secret: 'not told' },
  ISTIO_VERSION: 'not told',
};
const node = { id: 'waypoint~10.0.0.1~web-1.shop~shop.svc', cluster: 'c', metadata: METADATA };

function engineWith(clusterMetadata: MetadataStruct = {}) {
  const metadata = new Map([['istio', clusterMetadata]]);
  const cluster = { metadata } as unknown as Cluster; // nothing else is asked
  return testEngine({ node, clusters: { get: () => cluster, all: () => [] } });
}

const headerOf = (fields: Record<string, google.protobuf.Value.$Properties>): string =>
  Buffer.from(google.protobuf.Struct.encode({ fields }).finish()).toString('base64');

describe('istio_headers', () => {
  const told = headerOf({
    NAMESPACE: text('shop'),
    WORKLOAD_NAME: text('web'),
    CLUSTER_ID: text('east'),
    LABELS: { structValue: { fields: { app: text('store'), version: text('v2') } } },
  });
  const peer = { namespace: 'shop', name: 'web', cluster: 'east', app: 'store', version: 'v2' };

  it('tell who the client is, and go no further', () => {
    const filter = compile(peerMetadata, Config, { downstreamDiscovery: [{ istioHeaders: {} }] });
    const headers = get('/', { 'x-envoy-peer-metadata': told, 'x-envoy-peer-metadata-id': 'n' });
    const { info } = pass(filter.create(testStream()), headers);
    expect(info.filterState.get('downstream_peer')).toEqual(peer);
    expect(headers.size).toBe(0);
  });

  it('tell who the server is, and go no further', () => {
    const filter = compile(peerMetadata, Config, { upstreamDiscovery: [{ istioHeaders: {} }] }).create(
      testStream(),
    );
    const { info } = pass(filter, get('/', {}));
    expect([...respond(filter, info, HeaderMap.response(200, { 'x-envoy-peer-metadata': told }))]).toEqual(
      [],
    );
    expect(info.filterState.get('upstream_peer')).toEqual(peer);
  });

  it.each(['', 'not base64!', Buffer.from([0xff, 0xff, 0xff]).toString('base64'), headerOf({})])(
    'tell nothing by "%s"',
    (value) => {
      const filter = compile(peerMetadata, Config, { downstreamDiscovery: [{ istioHeaders: {} }] });
      const headers = get('/', { 'x-envoy-peer-metadata': value });
      const { info, status } = pass(filter.create(testStream()), headers);
      expect([status, info.filterState.get('downstream_peer')]).toEqual(['continued', undefined]);
    },
  );
});

describe('propagation', () => {
  const decoded = (value: string | undefined): unknown =>
    structToPlain(google.protobuf.Struct.decode(Buffer.from(value ?? '', 'base64')));

  it('tells the upstream who this node is, in place of what the client said of itself', () => {
    const filter = compile(
      peerMetadata,
      Config,
      { upstreamPropagation: [{ istioHeaders: {} }] },
      engineWith(),
    );
    const headers = get('/', { 'x-envoy-peer-metadata': 'of the client' });
    pass(filter.create(testStream()), headers);
    expect(headers.get('x-envoy-peer-metadata-id')).toBe(node.id);
    expect(decoded(headers.get('x-envoy-peer-metadata'))).toEqual({
      NAME: 'web-1',
      NAMESPACE: 'shop',
      WORKLOAD_NAME: 'web',
      CLUSTER_ID: 'east',
      OWNER: METADATA.OWNER,
      LABELS: { app: 'store', 'service.istio.io/canonical-name': 'we b' },
    });
  });

  it.each([
    ['a service outside the mesh', { external: true }, false],
    ['a service of the mesh', {}, true],
  ])('with skip_external_clusters: to %s', (_, clusterMetadata, tells) => {
    const config = { upstreamPropagation: [{ istioHeaders: { skipExternalClusters: true } }] };
    const filter = compile(peerMetadata, Config, config, engineWith(clusterMetadata));
    const headers = get('/', {});
    pass(filter.create(testStream()), headers, { route: { ...testRoute({}), clusterName: 'c' } });
    expect(headers.has('x-envoy-peer-metadata')).toBe(tells);
  });

  it('answers a client that tells, and no other', () => {
    const compiled = compile(
      peerMetadata,
      Config,
      { downstreamPropagation: [{ istioHeaders: {} }] },
      engineWith(),
    );
    for (const [request, names] of [
      [{ 'x-envoy-peer-metadata-id': 'n' }, ['x-envoy-peer-metadata', 'x-envoy-peer-metadata-id']],
      [{}, []],
    ] as const) {
      const filter = compiled.create(testStream());
      const { info } = pass(filter, get('/', request));
      expect([...respond(filter, info)].map(([name]) => name)).toEqual(names);
    }
  });

  it('by baggage', () => {
    const filter = compile(peerMetadata, Config, { upstreamPropagation: [{ baggage: {} }] }, engineWith());
    const headers = get('/', {});
    pass(filter.create(testStream()), headers);
    expect(headers.get('baggage')).toBe(
      'k8s.cluster.name=east,k8s.namespace.name=shop,k8s.deployment.name=web,service.name=we%20b',
    );
  });
});
