import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { objectAt, stringAt, type JsonObject } from '../object.ts';
import { configMap, issue, namespaceObject, TestServer } from '../testing/test-server.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';
const group = '/apis/admissionregistration.k8s.io/v1';

let cluster: TestServer;
let hook: Server;
let reviews: JsonObject[] = [];
/** What the webhook answers, by path. */
const answers: Record<string, (request: JsonObject) => JsonObject> = {
  '/label': () => ({
    allowed: true,
    patchType: 'JSONPatch',
    patch: Buffer.from(
      JSON.stringify([{ op: 'add', path: '/metadata/labels', value: { hooked: 'yes' } }]),
    ).toString('base64'),
  }),
  '/deny': () => ({ allowed: false, status: { code: 403, message: 'not today' } }),
  '/warn': () => ({ allowed: true, warnings: ['mind the gap'] }),
};

beforeAll(async () => {
  cluster = await TestServer.start();
  const serving = await issue(cluster.authority, 'hook', [], ['hook.default.svc']);
  hook = createServer({ cert: serving.cert, key: serving.key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const review = JSON.parse(Buffer.concat(chunks).toString()) as JsonObject; // sent by the server under test
      reviews.push(review);
      const asked = objectAt(review, 'request') ?? {};
      const path = new URL(request.url ?? '/', 'https://hook').pathname;
      response.end(JSON.stringify({ ...review, response: { uid: asked['uid'], ...answers[path]?.(asked) } }));
    });
  });
  await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve));
  await cluster.ok('POST', '/api/v1/namespaces', { body: namespaceObject('default') });
  await cluster.ok('POST', '/api/v1/namespaces/default/services', {
    body: { metadata: { name: 'hook' }, spec: { ports: [{ name: 'https', port: 443, targetPort: 8443 }] } },
  });
  await cluster.ok('POST', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    body: {
      metadata: { name: 'hook-1', labels: { 'kubernetes.io/service-name': 'hook' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true } }],
      ports: [{ name: 'https', port: (hook.address() as AddressInfo).port, protocol: 'TCP' }], // listening on TCP
    },
  });
});
afterEach(async () => {
  reviews = [];
  await cluster.ok('DELETE', `${group}/mutatingwebhookconfigurations`);
  await cluster.ok('DELETE', `${group}/validatingwebhookconfigurations`);
});
afterAll(async () => {
  hook.closeAllConnections();
  await new Promise<void>((resolve) => hook.close(() => resolve()));
  await cluster.stop();
});

async function register(
  kind: 'Mutating' | 'Validating',
  path: string,
  extra: JsonObject = {},
): Promise<void> {
  const caBundle = Buffer.from(cluster.authority.rootsPem).toString('base64');
  await cluster.ok('POST', `${group}/${kind.toLowerCase()}webhookconfigurations`, {
    body: {
      metadata: { generateName: 'test-' },
      webhooks: [
        {
          name: 'test.example.com',
          clientConfig: { service: { name: 'hook', namespace: 'default', path }, caBundle },
          rules: [
            { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] },
          ],
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          ...extra,
        },
      ],
    },
  });
}

describe('webhooks', () => {
  it('change objects by a patch', async () => {
    await register('Mutating', '/label');
    const made = await cluster.ok('POST', configMaps, { body: configMap('labelled', {}) });
    expect(objectAt(made, 'metadata', 'labels')).toEqual({ hooked: 'yes' });
    expect(objectAt(reviews[0], 'request')).toMatchObject({
      operation: 'CREATE',
      namespace: 'default',
      name: 'labelled',
      resource: { group: '', version: 'v1', resource: 'configmaps' },
      userInfo: { username: 'admin' },
      oldObject: null,
    });
  });

  it('refuse objects with their message', async () => {
    await register('Validating', '/deny');
    const { status, body } = await cluster.call('POST', configMaps, { body: configMap('denied', {}) });
    expect(status).toBe(403);
    expect(body['message']).toBe('admission webhook "test.example.com" denied the request: not today');
    expect((await cluster.call('GET', `${configMaps}/denied`)).status).toBe(404);
  });

  it('pass warnings on', async () => {
    await register('Validating', '/warn');
    const { headers } = await cluster.call('POST', configMaps, { body: configMap('warned', {}) });
    expect(headers['warning']).toBe('299 - "mind the gap"');
  });

  it.each([
    [
      'operation',
      {
        rules: [{ operations: ['UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }],
      },
    ],
    ['namespace', { namespaceSelector: { matchLabels: { other: 'yes' } } }],
    ['object', { objectSelector: { matchExpressions: [{ key: 'no', operator: 'Exists' }] } }],
  ])('are not asked when the %s does not match', async (_what, extra) => {
    await register('Validating', '/deny', extra);
    expect(
      (await cluster.call('POST', configMaps, { body: { metadata: { generateName: 'free-' } } })).status,
    ).toBe(201);
    expect(reviews).toHaveLength(0);
  });

  it.each([
    ['Fail', 500],
    ['Ignore', 201],
  ])('that cannot be reached count as failurePolicy %s says', async (failurePolicy, expected) => {
    await register('Validating', '/deny', {
      failurePolicy,
      clientConfig: { service: { name: 'absent', namespace: 'default' } },
    });
    const { status, body } = await cluster.call('POST', configMaps, {
      body: { metadata: { generateName: 'x-' } },
    });
    expect(status).toBe(expected);
    if (expected === 500)
      expect(stringAt(body, 'message')).toContain('failed calling webhook "test.example.com"');
  });

  it('with a certificate of another authority are not trusted', async () => {
    const stranger = await TestServer.start();
    const caBundle = Buffer.from(stranger.authority.rootsPem).toString('base64');
    await stranger.stop();
    await register('Validating', '/warn', {
      clientConfig: { service: { name: 'hook', namespace: 'default', path: '/warn' }, caBundle },
    });
    const { status } = await cluster.call('POST', configMaps, { body: { metadata: { generateName: 'x-' } } });
    expect(status).toBe(500);
    expect(reviews).toHaveLength(0);
  });

  it('never see changes of webhooks', async () => {
    const everything = {
      rules: [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*'] }],
    };
    await register('Validating', '/deny', everything);
    await register('Validating', '/deny', everything);
    expect(reviews).toHaveLength(0);
  });
});
