import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { KubernetesClient } from './client.ts';
import { apiErrorStatus, isAlreadyExists, isConflict, isNotFound, KubernetesError } from './errors.ts';
import { resourcePath, resources } from './resources.ts';
import { FakeApiServer } from './testing/fake-api-server.ts';

let server: FakeApiServer;
let client: KubernetesClient;
beforeEach(async () => {
  server = await FakeApiServer.start();
  client = new KubernetesClient({ ...server.connection, token: () => 'secret' });
});
afterEach(async () => {
  client.close();
  await server.close();
});

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (e: unknown) => e,
  );
const pod = (name: string, namespace = 'demo') => ({
  metadata: { name, namespace },
  spec: { containers: [{ name: 'app' }] },
});

describe('resourcePath', () => {
  it.each([
    [resources.pods, {}, '/api/v1/pods'],
    [
      resources.pods,
      { namespace: 'a', name: 'b', subresource: 'status' },
      '/api/v1/namespaces/a/pods/b/status',
    ],
    [resources.nodes, { namespace: 'ignored', name: 'n' }, '/api/v1/nodes/n'],
    [resources.leases, { namespace: 'a' }, '/apis/coordination.k8s.io/v1/namespaces/a/leases'],
    [
      resources.clusterRoles,
      { name: 'system:node' },
      '/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode',
    ],
  ])('of %o with %o is %s', (type, target, path) => {
    expect(resourcePath(type, target)).toBe(path);
  });
});

describe('KubernetesClient', () => {
  it('creates, reads, replaces and deletes, with bearer token and type information', async () => {
    const created = await client.create(resources.pods, pod('a'), { fieldManager: 'test' });
    expect(created).toMatchObject({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' } });
    expect(server.requests[0]?.headers.authorization).toBe('Bearer secret');
    expect(server.requests[0]?.url.searchParams.get('fieldManager')).toBe('test');
    const read = await client.get(resources.pods, 'a', 'demo');
    expect(read.spec?.containers[0]?.name).toBe('app');
    await client.replace(resources.pods, { ...read, status: { phase: 'Running' } });
    expect(isConflict(await failure(client.replace(resources.pods, read)))).toBe(true);
    expect(isAlreadyExists(await failure(client.create(resources.pods, pod('a'))))).toBe(true);
    await client.delete(resources.pods, 'a', 'demo', {
      propagationPolicy: 'Background',
      gracePeriodSeconds: 0,
    });
    expect(isNotFound(await failure(client.get(resources.pods, 'a', 'demo')))).toBe(true);
  });

  it('collects every page of a list and completes the items with their type', async () => {
    for (let i = 0; i < 1_201; i++) server.put('/api/v1/pods', pod(`p${i}`));
    const list = await client.list(resources.pods, { namespace: 'demo', labelSelector: 'a=b' });
    expect(list.items).toHaveLength(1_201);
    expect(list.items[1_200]).toMatchObject({ apiVersion: 'v1', kind: 'Pod' });
    const urls = server.requests.map((r) => r.url.searchParams);
    expect(urls.map((u) => u.get('continue'))).toEqual([null, '500', '1000']);
    expect(urls.every((u) => u.get('labelSelector') === 'a=b')).toBe(true);
  });

  it.each([
    ['merge', 'application/merge-patch+json'],
    ['json', 'application/json-patch+json'],
    ['strategic', 'application/strategic-merge-patch+json'],
  ] as const)('sends a %s patch as %s', async (kind, contentType) => {
    server.put('/api/v1/pods', pod('a'));
    await client.patch(resources.pods, 'a', 'demo', { metadata: { labels: { x: 'y' } } }, kind);
    expect(server.requests.at(-1)?.headers['content-type']).toBe(contentType);
  });

  it('applies with its field manager and force, to a subresource if asked', async () => {
    const config = { metadata: { name: 'c', namespace: 'demo' }, data: { k: 'v' } };
    server.put('/api/v1/configmaps', config);
    await client.apply(resources.configMaps, config, {
      fieldManager: 'weft',
      force: true,
      subresource: 'status',
    });
    const { method, url, headers, body } = server.requests[0]!;
    expect([method, url.pathname]).toEqual(['PATCH', '/api/v1/namespaces/demo/configmaps/c/status']);
    expect(url.search).toBe('?fieldManager=weft&force=true');
    expect(headers['content-type']).toBe('application/apply-patch+yaml');
    expect(JSON.parse(body)).toEqual({ apiVersion: 'v1', kind: 'ConfigMap', ...config });
    // What is gone doesn't come back by a status that is late.
    server.remove('/api/v1/configmaps', 'c', 'demo');
    const o = { fieldManager: 'weft', subresource: 'status' };
    await expect(client.apply(resources.configMaps, config, o)).rejects.toMatchObject({ status: 404 });
  });

  it('asks for a pod-bound token and for the review of a token', async () => {
    server.intercept = ({ url }, response) => {
      const status = url.pathname.endsWith('/token')
        ? { token: 't', expirationTimestamp: '2026-01-01T00:00:00Z' }
        : { authenticated: true, user: { username: 'system:serviceaccount:a:b' } };
      response.end(JSON.stringify({ status }));
      return true;
    };
    const boundPod = { name: 'p', uid: 'u' };
    const token = await client.createToken('sa', 'ns', {
      audiences: ['istio-ca'],
      expirationSeconds: 600,
      boundPod,
    });
    expect(token.token).toBe('t');
    expect(server.requests[0]?.url.pathname).toBe('/api/v1/namespaces/ns/serviceaccounts/sa/token');
    expect(JSON.parse(server.requests[0]?.body ?? '')).toMatchObject({
      kind: 'TokenRequest',
      spec: {
        audiences: ['istio-ca'],
        expirationSeconds: 600,
        boundObjectRef: { kind: 'Pod', name: 'p', uid: 'u' },
      },
    });
    expect((await client.reviewToken('t', ['istio-ca'])).authenticated).toBe(true);
    expect(JSON.parse(server.requests[1]?.body ?? '')).toMatchObject({
      spec: { token: 't', audiences: ['istio-ca'] },
    });
  });

  it('reports a refusal with status, reason and the server’s words', async () => {
    server.intercept = (_, response) => {
      response.writeHead(403).end(JSON.stringify({ message: 'pods is forbidden', reason: 'Forbidden' }));
      return true;
    };
    const error: unknown = await client.list(resources.pods).catch((e: unknown) => e);
    expect(apiErrorStatus(error)).toBe(403);
    expect(error).toBeInstanceOf(KubernetesError);
    expect(error).toMatchObject({
      code: 'WEFT1012',
      reason: 'Forbidden',
      message: 'GET /api/v1/pods: pods is forbidden',
    });
  });

  it('survives answers that are no Status and bodies that are no JSON', async () => {
    server.intercept = (_, response) => {
      response.writeHead(502).end('<html>bad gateway</html>');
      return true;
    };
    await expect(client.list(resources.pods)).rejects.toMatchObject({ status: 502, code: 'WEFT1011' });
    server.intercept = (_, response) => {
      response.end('hello');
      return true;
    };
    await expect(client.get(resources.pods, 'a', 'b')).rejects.toMatchObject({ code: 'WEFT1015' });
  });

  it('waits as Retry-After says when throttled', async () => {
    let refusals = 2;
    server.intercept = (_, response) => {
      if (refusals-- <= 0) return false;
      response.writeHead(429, { 'retry-after': '0' }).end('{}');
      return true;
    };
    await client.list(resources.pods);
    expect(server.requests).toHaveLength(3);
  });

  it('says which server cannot be reached', async () => {
    const { server: address } = server.connection;
    await server.close();
    const error: unknown = await client.list(resources.pods).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'WEFT1010', message: `GET ${address}/api/v1/pods` });
    server = await FakeApiServer.start();
  });

  it('repeats a read, but no create, whose kept-alive connection turns out to be closed', async () => {
    await client.list(resources.pods);
    let resets = 1;
    server.intercept = (_, response) => {
      if (resets-- <= 0) return false;
      response.destroy();
      return true;
    };
    await client.list(resources.pods);
    resets = 1;
    await expect(client.create(resources.pods, pod('a'))).rejects.toMatchObject({ code: 'WEFT1010' });
  });

  it('stops a watch when the signal aborts and leaves no connection behind', async () => {
    const abort = new AbortController();
    server.put('/api/v1/pods', pod('a'));
    const seen: string[] = [];
    const watching = (async () => {
      for await (const event of client.watch(resources.pods, { namespace: 'demo', signal: abort.signal })) {
        seen.push(event.type);
        abort.abort();
      }
    })();
    await watching.catch(() => undefined);
    expect(seen).toEqual(['ADDED']);
    while (server.watchCount > 0) await new Promise(setImmediate);
  });
});
