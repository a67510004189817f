import { expect, it } from '@jest/globals';
import { Graph } from '@weft/collections';
import {
  type AdminRequest,
  type AdminResponse,
  Readiness,
  WeftError,
  createPrometheusRegistry,
} from '@weft/telemetry';
import { createAmbientGraph } from '../ambient/ambient-graph.ts';
import { createNetworkingGraph } from '../networking/networking-graph.ts';
import type { TokenAuthenticator } from '../ca/token-authenticator.ts';
import { podFacts } from '../sources/facts.ts';
import { MESH_KEY, createSources } from '../sources/sources.ts';
import { debugRoutes, readyRoutes } from './routes.ts';

function createRoutes(authenticate: (authorization: string | undefined) => { readonly namespace: string }) {
  const graph = new Graph();
  const sources = createSources(graph);
  const ambient = createAmbientGraph(graph, sources, {
    clusterId: 'Kubernetes',
    clusterDomain: 'cluster.local',
    systemNamespace: 'istio-system',
    defaults: { trustDomain: 'cluster.local', rootNamespace: 'istio-system' },
  });
  const networking = createNetworkingGraph(graph, sources, ambient, { clusterDomain: 'cluster.local' });
  sources.meshConfig.set(MESH_KEY, '');
  for (const namespace of ['a', 'b']) {
    const metadata = { name: 'p', namespace, uid: namespace };
    sources.pods.set(`${namespace}/p`, podFacts({ metadata, status: { podIPs: [{ ip: '10.0.0.1' }] } }));
  }
  graph.build();
  graph.flush();
  const routes = debugRoutes({
    version: '1',
    systemNamespace: 'istio-system',
    clusterId: 'Kubernetes',
    clusterDomain: 'cluster.local',
    sources,
    graph,
    ambient,
    registry: createPrometheusRegistry(),
    // Only what the routes use of it.
    authenticator: {
      authenticate: (authorization: string | undefined) =>
        Promise.resolve().then(() => authenticate(authorization)),
    } as unknown as TokenAuthenticator,
    connections: () => [],
    typesOf: () => [],
    synced: () => true,
    networking,
  });
  return (path: string, remoteAddress = '127.0.0.1', authorization?: string) => {
    const url = new URL(path, 'http://admin');
    const headers = authorization === undefined ? {} : { authorization };
    const request: AdminRequest = { method: 'GET', url, headers, remoteAddress, body: '' };
    return routes[url.pathname]?.(request);
  };
}

const textOf = (response: AdminResponse | undefined): string =>
  typeof response?.body === 'string' ? response.body : '';

const nobody = (): never => {
  throw new WeftError('WEFT1820', 'no');
};

it.each(['127.0.0.1', '::1', '::ffff:127.0.0.1'])(
  'shows the mesh to whoever is on this machine (%s)',
  async (address) => {
    const get = createRoutes(nobody);
    const all = await get('/debug/ambientz', address);
    const { workloads } = JSON.parse(textOf(all)) as {
      workloads: { uid: string; addresses: string[] }[];
    };
    expect(workloads.map(({ uid, addresses }) => [uid, addresses])).toEqual([
      ['Kubernetes//Pod/a/p', ['10.0.0.1']],
      ['Kubernetes//Pod/b/p', ['10.0.0.1']],
    ]);
    const some = await get('/debug/ambientz?namespace=a', address);
    expect(textOf(some)).not.toContain('Pod/b/p');
  },
);

it('shows it to nobody else without a token of the system namespace', async () => {
  const get = createRoutes((authorization) => {
    if (authorization === undefined) throw new WeftError('WEFT1820', 'no bearer token was presented');
    return { namespace: authorization };
  });
  expect((await get('/debug/syncz', '10.0.0.9'))?.status).toBe(401);
  expect((await get('/debug/syncz', ''))?.status).toBe(401);
  expect((await get('/debug/syncz', '10.0.0.9', 'shop'))?.status).toBe(403);
  expect((await get('/debug/syncz', '10.0.0.9', 'istio-system'))?.status).toBeUndefined();
  expect((await get('/metrics', '10.0.0.9'))?.status).toBeUndefined();
  // A proxy of the caller's own namespace, which isn't connected here.
  expect((await get('/debug/config_dump?proxyID=web-1.shop', '10.0.0.9', 'shop'))?.status).toBe(404);
  expect((await get('/debug/edsz?proxyID=web-1.shop', '10.0.0.9', 'shop'))?.status).toBe(404);
  expect((await get('/debug/config_dump?proxyID=web-1.bank', '10.0.0.9', 'shop'))?.status).toBe(403);
  expect((await get('/debug/config_dump', '10.0.0.9', 'shop'))?.status).toBe(403);
  expect((await get('/debug/config_dump'))?.status).toBe(400);
});

it('lists its pages, and says its version as istioctl reads it', async () => {
  const get = createRoutes(nobody);
  const pages = textOf(await get('/debug'))
    .trim()
    .split('\n');
  expect(
    textOf(await get('/debug/list'))
      .trim()
      .split('\n'),
  ).toEqual(pages);
  for (const page of pages) expect(await get(page)).toBeDefined();
  expect(textOf(await get('/version'))).toBe('1');
});

it('explains what made a resource', async () => {
  const get = createRoutes(nobody);
  expect(textOf(await get('/debug/lineage?key=Kubernetes//Pod/a/p'))).toContain('"collection": "pods"');
  expect((await get('/debug/lineage'))?.status).toBe(400);
  expect((await get('/debug/lineage?collection=nothing&key=x'))?.status).toBe(404);
});

it('says what readiness waits for', async () => {
  const readiness = new Readiness(['caches']);
  const troubles: string[] = [];
  const request: AdminRequest = {
    method: 'GET',
    url: new URL('http://admin/ready'),
    headers: {},
    remoteAddress: '',
    body: '',
  };
  const ready = () => readyRoutes(readiness, () => troubles)['/ready']?.(request);
  expect(await ready()).toEqual({ status: 503, body: 'not ready, waiting for: caches\n' });
  readiness.open('caches');
  expect(await ready()).toEqual({ body: 'ready\n' });
  troubles.push('this is wrong', 'that is, too');
  expect(await ready()).toEqual({ body: 'ready, but this is wrong, but that is, too\n' });
});
