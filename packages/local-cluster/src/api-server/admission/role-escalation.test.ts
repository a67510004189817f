import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { JsonObject } from '../object.ts';
import { namespaceObject, TestServer } from '../testing/test-server.ts';

const group = '/apis/rbac.authorization.k8s.io/v1';
const roles = `${group}/namespaces/default/roles`;
const bindings = `${group}/namespaces/default/rolebindings`;
const rule = (verbs: string[], resources: string[], apiGroups = ['']): JsonObject => ({
  verbs,
  apiGroups,
  resources,
});
const binding = (name: string, kind: string, role: string, user: string): JsonObject => ({
  metadata: { name },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: role },
  subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
});

let cluster: TestServer;
beforeAll(async () => {
  cluster = await TestServer.start();
  await cluster.ok('POST', '/api/v1/namespaces', { body: namespaceObject('default') });
  await cluster.ok('POST', roles, {
    body: {
      metadata: { name: 'keeper' },
      rules: [
        rule(['*'], ['roles', 'rolebindings'], ['rbac.authorization.k8s.io']),
        rule(['get', 'list'], ['pods']),
      ],
    },
  });
  await cluster.ok('POST', bindings, { body: binding('keeper', 'Role', 'keeper', 'kim') });
  await cluster.ok('POST', roles, {
    body: { metadata: { name: 'secrets' }, rules: [rule(['get'], ['secrets'])] },
  });
});
afterAll(() => cluster.stop());

/** `verbs: ['*']` on roles includes `escalate` and `bind`, so those who must not have them list their verbs. */
it('lets nobody grant what they do not hold, by role or by binding', async () => {
  const verbs = ['create', 'update', 'patch'];
  await cluster.ok('PATCH', `${roles}/keeper`, {
    contentType: 'application/merge-patch+json',
    body: {
      rules: [
        rule(verbs, ['roles', 'rolebindings'], ['rbac.authorization.k8s.io']),
        rule(['get', 'list'], ['pods']),
      ],
    },
  });
  const as = 'kim';
  const held = await cluster.call('POST', roles, {
    as,
    body: { metadata: { name: 'pods' }, rules: [rule(['get'], ['pods'])] },
  });
  expect(held.status).toBe(201);
  const more = await cluster.call('POST', roles, {
    as,
    body: { metadata: { name: 'more' }, rules: [rule(['get'], ['secrets'])] },
  });
  expect(more.status).toBe(403);
  expect(more.text).toContain('is attempting to grant RBAC permissions not currently held');
  expect(
    (await cluster.call('POST', bindings, { as, body: binding('mine', 'Role', 'secrets', 'kim') })).status,
  ).toBe(403);
  expect(
    (await cluster.call('POST', bindings, { as, body: binding('fine', 'Role', 'pods', 'lee') })).status,
  ).toBe(201);
});

it('lets those bind and escalate to whom the verbs were given', async () => {
  const verbs = ['create', 'bind', 'escalate'];
  await cluster.ok('POST', roles, {
    body: {
      metadata: { name: 'trusted' },
      rules: [rule(verbs, ['roles', 'rolebindings'], ['rbac.authorization.k8s.io'])],
    },
  });
  await cluster.ok('POST', bindings, { body: binding('trusted', 'Role', 'trusted', 'tom') });
  const as = 'tom';
  expect(
    (await cluster.call('POST', bindings, { as, body: binding('toms', 'Role', 'secrets', 'tom') })).status,
  ).toBe(201);
  expect(
    (
      await cluster.call('POST', roles, {
        as,
        body: { metadata: { name: 'toms' }, rules: [rule(['*'], ['*'])] },
      })
    ).status,
  ).toBe(201);
});

it('lets nobody act as somebody else without the verb impersonate', async () => {
  const { token } = await cluster
    .ok('POST', '/api/v1/namespaces/default/serviceaccounts', { body: { metadata: { name: 'bot' } } })
    .then(() =>
      cluster.ok('POST', '/api/v1/namespaces/default/serviceaccounts/bot/token', { body: { spec: {} } }),
    )
    .then(({ status }) => status as { token: string }); // a TokenRequest's status
  const path = '/api/v1/namespaces/default/configmaps';
  const refused = await cluster.call('GET', path, { token, as: 'kim' });
  expect(refused.status).toBe(403);
  expect(refused.text).toContain('cannot impersonate resource \\"users\\"');
  await cluster.ok('POST', `${group}/clusterroles`, {
    body: {
      metadata: { name: 'actor' },
      rules: [{ ...rule(['impersonate'], ['users']), resourceNames: ['kim'] }],
    },
  });
  await cluster.ok('POST', `${group}/clusterrolebindings`, {
    body: binding('actor', 'ClusterRole', 'actor', 'system:serviceaccount:default:bot'),
  });
  expect((await cluster.call('GET', '/api/v1/namespaces/default/pods', { token, as: 'kim' })).status).toBe(
    200,
  );
  expect((await cluster.call('GET', '/api/v1/namespaces/default/pods', { token, as: 'admin' })).status).toBe(
    403,
  );
});
