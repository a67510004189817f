import { describe, expect, it } from '@jest/globals';
import type { ApiObject, JsonObject } from '../object.ts';
import { Store } from '../store/store.ts';
import { denialMessage, missingPermission, RbacAuthorizer, type AccessRequest } from './rbac.ts';
import { serviceAccountUser, type User } from './user.ts';

const GROUP = 'rbac.authorization.k8s.io';
const alice: User = { name: 'alice', groups: ['devs'], extra: {} };

function put(
  store: Store,
  kind: string,
  name: string,
  namespace: string | undefined,
  fields: JsonObject,
): void {
  const plural =
    {
      Role: 'roles',
      ClusterRole: 'clusterroles',
      RoleBinding: 'rolebindings',
      ClusterRoleBinding: 'clusterrolebindings',
    }[kind] ?? '';
  const { labels, ...rest } = fields;
  const object: ApiObject = {
    apiVersion: `${GROUP}/v1`,
    kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels: labels as Record<string, string> }),
    }, // tests pass string maps
    ...rest,
  };
  store.put(`${plural}.${GROUP}`, object);
}

const ask = (
  verb: string,
  resource: string,
  o: { group?: string; namespace?: string; name?: string } = {},
): AccessRequest => ({
  kind: 'resource',
  verb,
  resource,
  group: o.group ?? '',
  namespace: o.namespace,
  name: o.name,
});

function withRole(rule: JsonObject, binding: 'RoleBinding' | 'ClusterRoleBinding' = 'ClusterRoleBinding') {
  const store = new Store();
  put(store, 'ClusterRole', 'r', undefined, { rules: [rule] });
  put(store, binding, 'b', binding === 'RoleBinding' ? 'here' : undefined, {
    roleRef: { kind: 'ClusterRole', name: 'r' },
    subjects: [{ kind: 'User', name: 'alice' }],
  });
  return { store, authorizer: new RbacAuthorizer(store) };
}

describe('RbacAuthorizer', () => {
  it.each([
    [
      'the verb and resource of a rule',
      { verbs: ['get'], apiGroups: [''], resources: ['pods'] },
      ask('get', 'pods'),
      true,
    ],
    ['another verb', { verbs: ['get'], apiGroups: [''], resources: ['pods'] }, ask('list', 'pods'), false],
    [
      'another group',
      { verbs: ['get'], apiGroups: [''], resources: ['pods'] },
      ask('get', 'pods', { group: 'apps' }),
      false,
    ],
    [
      'a subresource of a named resource',
      { verbs: ['get'], apiGroups: [''], resources: ['pods'] },
      ask('get', 'pods/log'),
      false,
    ],
    [
      'a subresource named as such',
      { verbs: ['get'], apiGroups: [''], resources: ['pods/log'] },
      ask('get', 'pods/log'),
      true,
    ],
    [
      'any resource of a subresource',
      { verbs: ['get'], apiGroups: ['*'], resources: ['*/scale'] },
      ask('get', 'deployments/scale', { group: 'apps' }),
      true,
    ],
    [
      'everything by stars',
      { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
      ask('delete', 'pods/exec'),
      true,
    ],
    [
      'a listed name',
      { verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['a'] },
      ask('get', 'secrets', { name: 'a' }),
      true,
    ],
    [
      'a name that is not listed',
      { verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['a'] },
      ask('get', 'secrets', { name: 'b' }),
      false,
    ],
    [
      'a list when names are listed',
      { verbs: ['list'], apiGroups: [''], resources: ['secrets'], resourceNames: ['a'] },
      ask('list', 'secrets'),
      false,
    ],
    [
      'a path',
      { verbs: ['get'], nonResourceURLs: ['/healthz/*'] },
      { kind: 'path', verb: 'get', path: '/healthz/ping' },
      true,
    ],
    [
      'another path',
      { verbs: ['get'], nonResourceURLs: ['/healthz'] },
      { kind: 'path', verb: 'get', path: '/metrics' },
      false,
    ],
  ] as const)('decides on %s', (_what, rule, request, allowed) => {
    const { authorizer } = withRole(JSON.parse(JSON.stringify(rule)) as JsonObject); // a mutable copy of the table's row
    expect(authorizer.authorize(alice, request).allowed).toBe(allowed);
  });

  it('grants by a RoleBinding in its own namespace only', () => {
    const { authorizer } = withRole({ verbs: ['get'], apiGroups: [''], resources: ['pods'] }, 'RoleBinding');
    expect(authorizer.authorize(alice, ask('get', 'pods', { namespace: 'here' })).allowed).toBe(true);
    expect(authorizer.authorize(alice, ask('get', 'pods', { namespace: 'there' })).allowed).toBe(false);
    expect(authorizer.authorize(alice, ask('get', 'pods')).allowed).toBe(false);
  });

  it('follows changes of roles and bindings at once', () => {
    const { store, authorizer } = withRole({ verbs: ['get'], apiGroups: [''], resources: ['pods'] });
    expect(authorizer.authorize(alice, ask('get', 'pods')).allowed).toBe(true);
    store.delete(`clusterrolebindings.${GROUP}`, 'b');
    expect(authorizer.authorize(alice, ask('get', 'pods')).allowed).toBe(false);
  });

  it('knows service accounts and groups as subjects', () => {
    const store = new Store();
    put(store, 'ClusterRole', 'r', undefined, {
      rules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }],
    });
    const roleRef = { kind: 'ClusterRole', name: 'r' };
    put(store, 'RoleBinding', 'sa', 'here', { roleRef, subjects: [{ kind: 'ServiceAccount', name: 'bot' }] });
    put(store, 'RoleBinding', 'group', 'there', { roleRef, subjects: [{ kind: 'Group', name: 'devs' }] });
    const authorizer = new RbacAuthorizer(store);
    expect(
      authorizer.authorize(serviceAccountUser('here', 'bot', 'u'), ask('get', 'pods', { namespace: 'here' }))
        .allowed,
    ).toBe(true);
    expect(
      authorizer.authorize(serviceAccountUser('other', 'bot', 'u'), ask('get', 'pods', { namespace: 'here' }))
        .allowed,
    ).toBe(false);
    expect(authorizer.authorize(alice, ask('get', 'pods', { namespace: 'there' })).allowed).toBe(true);
  });

  it('aggregates cluster roles by label', () => {
    const store = new Store();
    put(store, 'ClusterRole', 'part', undefined, {
      labels: { 'to-view': 'true' },
      rules: [{ verbs: ['get'], apiGroups: ['x'], resources: ['y'] }],
    });
    put(store, 'ClusterRole', 'view', undefined, {
      rules: [],
      aggregationRule: { clusterRoleSelectors: [{ matchLabels: { 'to-view': 'true' } }] },
    });
    put(store, 'ClusterRoleBinding', 'b', undefined, {
      roleRef: { kind: 'ClusterRole', name: 'view' },
      subjects: [{ kind: 'User', name: 'alice' }],
    });
    expect(new RbacAuthorizer(store).authorize(alice, ask('get', 'y', { group: 'x' })).allowed).toBe(true);
  });

  it('lets system:masters do everything', () => {
    const authorizer = new RbacAuthorizer(new Store());
    expect(
      authorizer.authorize({ ...alice, groups: ['system:masters'] }, ask('delete', 'nodes')).allowed,
    ).toBe(true);
  });
});

it('finds the permission that is missing', () => {
  const rule = { resourceNames: [], nonResourceURLs: [], apiGroups: [''], resources: ['pods'] };
  const held = [{ ...rule, verbs: ['get', 'list'] }];
  expect(missingPermission(held, [{ ...rule, verbs: ['get'] }])).toBeUndefined();
  const missing = missingPermission(held, [{ ...rule, verbs: ['delete'] }]);
  expect(missing && denialMessage(alice, missing, '')).toBe(
    'User "alice" cannot delete resource "pods" in API group "" at the cluster scope',
  );
});
