import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { objectAt, objectsAt, stringAt, valueAt, type JsonObject } from './object.ts';
import { configMap, namespaceObject, TestServer } from './testing/test-server.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';
const pods = '/api/v1/namespaces/default/pods';
const pod = (name: string, extra: JsonObject = {}): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: { containers: [{ name: 'c', image: 'localhost/host' }], ...extra },
});

let cluster: TestServer;
beforeAll(async () => {
  cluster = await TestServer.start();
  await cluster.ok('POST', '/api/v1/namespaces', { body: namespaceObject('default') });
  await cluster.ok('POST', '/api/v1/namespaces/default/serviceaccounts', {
    body: { metadata: { name: 'default' } },
  });
});
afterAll(() => cluster.stop());

describe('writes', () => {
  it('keeps the resourceVersion when a write changes nothing', async () => {
    const created = await cluster.ok('POST', configMaps, { body: configMap('same', { a: '1' }) });
    const again = await cluster.ok('PUT', `${configMaps}/same`, { body: created });
    expect(valueAt(again, 'metadata', 'resourceVersion')).toBe(
      valueAt(created, 'metadata', 'resourceVersion'),
    );
  });

  it('refuses a PUT with a stale resourceVersion', async () => {
    const created = await cluster.ok('POST', configMaps, { body: configMap('stale', { a: '1' }) });
    await cluster.ok('PUT', `${configMaps}/stale`, { body: { ...created, data: { a: '2' } } });
    const { status, body } = await cluster.call('PUT', `${configMaps}/stale`, {
      body: { ...created, data: { a: '3' } },
    });
    expect(status).toBe(409);
    expect(body['reason']).toBe('Conflict');
  });

  it('stores nothing in a dry run', async () => {
    const { status } = await cluster.call('POST', `${configMaps}?dryRun=All`, { body: configMap('dry', {}) });
    expect(status).toBe(201);
    expect((await cluster.call('GET', `${configMaps}/dry`)).status).toBe(404);
  });

  it('names an object by generateName', async () => {
    const made = await cluster.ok('POST', configMaps, { body: { metadata: { generateName: 'gen-' } } });
    expect(stringAt(made, 'metadata', 'name')).toMatch(/^gen-[a-z0-9]{5}$/);
  });

  it('counts generations of the specification only', async () => {
    const path = '/apis/apps/v1/namespaces/default/deployments';
    const template = {
      metadata: { labels: { app: 'g' } },
      spec: { containers: [{ name: 'c', image: 'i' }] },
    };
    const body = { metadata: { name: 'g' }, spec: { selector: { matchLabels: { app: 'g' } }, template } };
    await cluster.ok('POST', path, { body });
    const merge = 'application/merge-patch+json';
    const labelled = await cluster.ok('PATCH', `${path}/g`, {
      contentType: merge,
      body: { metadata: { labels: { a: 'b' } } },
    });
    expect(valueAt(labelled, 'metadata', 'generation')).toBe(1);
    const scaled = await cluster.ok('PATCH', `${path}/g`, {
      contentType: merge,
      body: { spec: { replicas: 3 }, status: { replicas: 9 } },
    });
    expect(valueAt(scaled, 'metadata', 'generation')).toBe(2);
    expect(valueAt(scaled, 'status', 'replicas')).toBeUndefined();
    const status = await cluster.ok('PATCH', `${path}/g/status`, {
      contentType: merge,
      body: { spec: { replicas: 7 }, status: { replicas: 2 } },
    });
    expect(valueAt(status, 'spec', 'replicas')).toBe(3);
    expect(valueAt(status, 'status', 'replicas')).toBe(2);
    const immutable = await cluster.call('PATCH', `${path}/g`, {
      contentType: merge,
      body: { spec: { selector: { matchLabels: { app: 'x' } } } },
    });
    expect(immutable.status).toBe(422);
  });

  it('refuses unknown fields when validation is strict and warns otherwise', async () => {
    const body = { ...configMap('strict', {}), unheard: 1 };
    const strict = await cluster.call('POST', `${configMaps}?fieldValidation=Strict`, { body });
    expect(strict.status).toBe(400);
    expect(strict.text).toContain('strict decoding error: unknown field \\"unheard\\"');
    const warned = await cluster.call('POST', configMaps, { body });
    expect(warned.status).toBe(201);
    expect(String(warned.headers['warning'])).toContain('unknown field');
  });

  it('refuses a body of more than 3 MiB', async () => {
    const { status } = await cluster.call('POST', configMaps, {
      body: configMap('big', { a: 'x'.repeat(3 * 1024 * 1024) }),
    });
    expect(status).toBe(413);
  });

  it('moves stringData of a Secret into data', async () => {
    const body = { metadata: { name: 's' }, stringData: { a: 'b' } };
    const secret = await cluster.ok('POST', '/api/v1/namespaces/default/secrets', { body });
    expect(secret['data']).toEqual({ a: 'Yg==' });
    expect(secret['stringData']).toBeUndefined();
  });
});

describe('lists', () => {
  it('pages and selects', async () => {
    for (const name of ['page-a', 'page-b', 'page-c']) {
      await cluster.ok('POST', configMaps, {
        body: configMap(name, {}, { labels: { page: name, set: 'pages' } }),
      });
    }
    const selector = 'labelSelector=set%3Dpages';
    const first = await cluster.ok('GET', `${configMaps}?${selector}&limit=2`);
    const token = stringAt(first, 'metadata', 'continue') ?? '';
    const second = await cluster.ok('GET', `${configMaps}?${selector}&limit=2&continue=${token}`);
    const names = [first, second]
      .flatMap((page) => objectsAt(page, 'items'))
      .map((item) => valueAt(item, 'metadata', 'name'));
    expect(names).toEqual(['page-a', 'page-b', 'page-c']);
    expect(valueAt(second, 'metadata', 'continue')).toBeUndefined();
    const some = await cluster.ok(
      'GET',
      `${configMaps}?labelSelector=page%20in%20(page-a%2Cpage-c)%2C!absent`,
    );
    expect(objectsAt(some, 'items')).toHaveLength(2);
    const byName = await cluster.ok('GET', `${configMaps}?fieldSelector=metadata.name%3Dpage-b`);
    expect(objectsAt(byName, 'items')).toHaveLength(1);
  });

  it('answers 504 for a resourceVersion from the future', async () => {
    const { status } = await cluster.call(
      'GET',
      `${configMaps}?resourceVersion=999999999&resourceVersionMatch=NotOlderThan`,
    );
    expect(status).toBe(504);
  });

  it('gives metadata only when asked to', async () => {
    const accept = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
    const list = await cluster.ok('GET', configMaps, { accept });
    expect(list['kind']).toBe('PartialObjectMetadataList');
    expect(
      objectsAt(list, 'items').every((item) => item['kind'] === 'PartialObjectMetadata' && !('data' in item)),
    ).toBe(true);
  });
});

describe('watches', () => {
  it('streams what happened after a resourceVersion, with deletions when a selector stops matching', async () => {
    const list = await cluster.ok('GET', configMaps);
    const since = stringAt(list, 'metadata', 'resourceVersion') ?? '';
    await cluster.ok('POST', configMaps, { body: configMap('watched', {}, { labels: { on: 'yes' } }) });
    await cluster.ok('PATCH', `${configMaps}/watched`, {
      contentType: 'application/merge-patch+json',
      body: { data: { a: '1' } },
    });
    await cluster.ok('PATCH', `${configMaps}/watched`, {
      contentType: 'application/merge-patch+json',
      body: { metadata: { labels: { on: 'no' } } },
    });
    const events = await cluster.watch(
      `${configMaps}?watch=true&labelSelector=on%3Dyes&resourceVersion=${since}`,
      (seen) => seen.length === 3,
    );
    expect(events.map(({ type }) => type)).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
  });

  it('ends initial events of a WatchList by a bookmark', async () => {
    const query =
      'watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan';
    const events = await cluster.watch(`/api/v1/namespaces?${query}`, (seen) =>
      seen.some(({ type }) => type === 'BOOKMARK'),
    );
    expect(events[0]?.type).toBe('ADDED');
    const bookmark = events.at(-1)?.object;
    expect(objectAt(bookmark, 'metadata', 'annotations')).toEqual({ 'k8s.io/initial-events-end': 'true' });
    expect(valueAt(bookmark, 'kind')).toBe('Namespace');
  });

  it('answers an expired resourceVersion by an ERROR event', async () => {
    const { WATCH_HISTORY_EVENTS } = await import('./store/store.ts');
    for (let count = 0; count < 2 * WATCH_HISTORY_EVENTS + 1; count++) {
      cluster.server.store.put('leases.coordination.k8s.io', {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name: 'busy', namespace: 'default' },
      });
    }
    const events = await cluster.watch(
      '/apis/coordination.k8s.io/v1/leases?watch=true&resourceVersion=2',
      () => false,
    );
    expect(events).toHaveLength(1);
    expect(events[0]?.type).toBe('ERROR');
    expect(valueAt(events[0]?.object, 'code')).toBe(410);
  });

  it('ends after timeoutSeconds, bookmark first', async () => {
    const query = 'watch=true&allowWatchBookmarks=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dnone';
    const events = await cluster.watch(`${configMaps}?${query}`, () => false);
    expect(events.map(({ type }) => type)).toEqual(['BOOKMARK']);
  });
});

describe('deletion', () => {
  it('waits for finalizers', async () => {
    await cluster.ok('POST', configMaps, {
      body: configMap('held', {}, { finalizers: ['example.com/hold'] }),
    });
    const marked = await cluster.ok('DELETE', `${configMaps}/held`);
    expect(valueAt(marked, 'metadata', 'deletionTimestamp')).toBeDefined();
    const added = await cluster.call('PATCH', `${configMaps}/held`, {
      contentType: 'application/merge-patch+json',
      body: { metadata: { finalizers: ['example.com/hold', 'example.com/more'] } },
    });
    expect(added.status).toBe(422);
    await cluster.ok('PATCH', `${configMaps}/held`, {
      contentType: 'application/merge-patch+json',
      body: { metadata: { finalizers: null } },
    });
    expect((await cluster.call('GET', `${configMaps}/held`)).status).toBe(404);
  });

  it('gives a running pod its grace period and removes it when the kubelet says so', async () => {
    await cluster.ok('POST', pods, { body: pod('graceful', { nodeName: 'n1' }) });
    const marked = await cluster.ok('DELETE', `${pods}/graceful`);
    expect(valueAt(marked, 'metadata', 'deletionGracePeriodSeconds')).toBe(30);
    const uid = valueAt(marked, 'metadata', 'uid') ?? '';
    const other = await cluster.call('DELETE', `${pods}/graceful`, {
      body: { gracePeriodSeconds: 0, preconditions: { uid: 'another' } },
    });
    expect(other.status).toBe(409);
    const gone = await cluster.ok('DELETE', `${pods}/graceful`, {
      body: { gracePeriodSeconds: 0, preconditions: { uid } },
    });
    expect(gone['status']).toBe('Success');
  });

  it('empties a terminating namespace before it goes, and lets nothing into it', async () => {
    await cluster.ok('POST', '/api/v1/namespaces', { body: namespaceObject('leaving') });
    const marked = await cluster.ok('DELETE', '/api/v1/namespaces/leaving');
    expect(valueAt(marked, 'status', 'phase')).toBe('Terminating');
    const refused = await cluster.call('POST', '/api/v1/namespaces/leaving/configmaps', {
      body: configMap('late', {}),
    });
    expect(refused.status).toBe(403);
    expect(refused.text).toContain('because it is being terminated');
    await cluster.ok('PUT', '/api/v1/namespaces/leaving/finalize', {
      body: { ...marked, spec: { finalizers: [] } },
    });
    expect((await cluster.call('GET', '/api/v1/namespaces/leaving')).status).toBe(404);
  });

  it('deletes the objects of a CRD with it', async () => {
    const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    await cluster.ok('POST', crds, { body: gadgetDefinition });
    await cluster.ok('POST', '/apis/example.com/v1/namespaces/default/gadgets', {
      body: { apiVersion: 'example.com/v1', kind: 'Gadget', metadata: { name: 'g' } },
    });
    await cluster.ok('DELETE', `${crds}/gadgets.example.com`);
    await new Promise((resolve) => setImmediate(resolve));
    expect(cluster.server.store.list('gadgets.example.com')).toHaveLength(0);
    expect((await cluster.call('GET', `${crds}/gadgets.example.com`)).status).toBe(404);
    expect((await cluster.call('GET', '/apis/example.com/v1')).status).toBe(404);
  });
});

describe('pods and services', () => {
  it('gives a pod its service account, a token volume and a priority', async () => {
    const made = await cluster.ok('POST', pods, { body: pod('plain') });
    expect(valueAt(made, 'spec', 'serviceAccountName')).toBe('default');
    expect(valueAt(made, 'spec', 'priority')).toBe(0);
    expect(stringAt(objectsAt(made, 'spec', 'volumes')[0], 'name')).toMatch(/^kube-api-access-/);
    const unknown = await cluster.call('POST', pods, {
      body: pod('ranked', { priorityClassName: 'none-such' }),
    });
    expect(unknown.status).toBe(403);
    const stranger = await cluster.call('POST', pods, {
      body: pod('stranger', { serviceAccountName: 'nobody' }),
    });
    expect(stranger.text).toContain('serviceaccount \\"nobody\\" not found');
  });

  it('binds a pod to a node once', async () => {
    await cluster.ok('POST', pods, { body: pod('bound') });
    const binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: 'bound' },
      target: { kind: 'Node', name: 'n1' },
    };
    await cluster.ok('POST', `${pods}/bound/binding`, { body: binding });
    expect(valueAt(await cluster.ok('GET', `${pods}/bound`), 'spec', 'nodeName')).toBe('n1');
    expect((await cluster.call('POST', `${pods}/bound/binding`, { body: binding })).status).toBe(409);
  });

  it('allocates cluster IPs and node ports, keeps chosen ones, and refuses taken ones', async () => {
    const path = '/api/v1/namespaces/default/services';
    const dns = await cluster.ok('POST', path, {
      body: { metadata: { name: 'dns' }, spec: { clusterIP: '10.96.0.10', ports: [{ port: 53 }] } },
    });
    expect(valueAt(dns, 'spec', 'clusterIPs')).toEqual(['10.96.0.10']);
    const taken = await cluster.call('POST', path, {
      body: { metadata: { name: 'dns2' }, spec: { clusterIP: '10.96.0.10', ports: [{ port: 53 }] } },
    });
    expect(taken.status).toBe(422);
    expect(taken.text).toContain('provided IP is already allocated');
    const headless = await cluster.ok('POST', path, {
      body: { metadata: { name: 'headless' }, spec: { clusterIP: 'None', ports: [{ port: 80 }] } },
    });
    expect(valueAt(headless, 'spec', 'clusterIP')).toBe('None');
    const node = await cluster.ok('POST', path, {
      body: { metadata: { name: 'np' }, spec: { type: 'NodePort', ports: [{ port: 80 }] } },
    });
    expect(valueAt(objectsAt(node, 'spec', 'ports')[0], 'nodePort')).toBeGreaterThanOrEqual(30_000);
    const moved = await cluster.call('PATCH', `${path}/dns`, {
      contentType: 'application/merge-patch+json',
      body: { spec: { clusterIP: '10.96.0.11', clusterIPs: ['10.96.0.11'] } },
    });
    expect(moved.status).toBe(422);
  });
});

const gadgetDefinition: JsonObject = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'gadgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'gadgets', kind: 'Gadget' },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
  },
};
