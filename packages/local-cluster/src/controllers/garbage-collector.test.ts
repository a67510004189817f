import { describe, expect, it } from '@jest/globals';
import { resources, type KubernetesObject } from '@weft/kubernetes';
import type { LocatedObject, OwnershipView } from './cluster-cache.ts';
import { garbageCollector } from './garbage-collector.ts';
import { staticView } from './testing/static-view.ts';

function ownership(...objects: readonly KubernetesObject[]): OwnershipView {
  const located = objects.map((object): LocatedObject => ({ type: resources.configMaps, object }));
  return {
    ...staticView(...objects.map((object) => [resources.configMaps, object] as const)),
    byUid: (uid) => located.find(({ object }) => object.metadata.uid === uid),
    dependentsOf: (uid) =>
      located.filter(({ object }) => object.metadata.ownerReferences?.some((owner) => owner.uid === uid)),
  };
}

function object(
  uid: string,
  o: { owner?: string; finalizer?: string; deleting?: boolean } = {},
): KubernetesObject {
  return {
    metadata: {
      name: uid,
      namespace: 'ns',
      uid,
      resourceVersion: '5',
      ...(o.finalizer === undefined ? {} : { finalizers: [o.finalizer, 'other'] }),
      ...(o.deleting === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
      ...(o.owner === undefined
        ? {}
        : {
            ownerReferences: [
              { apiVersion: 'v1', kind: 'X', name: o.owner, uid: o.owner, blockOwnerDeletion: true },
            ],
          }),
    },
  };
}

function reconcile(uid: string, ...objects: readonly KubernetesObject[]) {
  const view = ownership(...objects);
  return garbageCollector(view).reconcile(uid, view, new Date()).writes;
}

describe('garbage collector', () => {
  it('collects an object none of whose owners is known', () => {
    expect(reconcile('child', object('child', { owner: 'gone' }))).toMatchObject([{ kind: 'collect' }]);
  });

  it('leaves alone what has a living owner, or none', () => {
    expect(reconcile('child', object('child', { owner: 'parent' }), object('parent'))).toEqual([]);
    expect(reconcile('child', object('child'))).toEqual([]);
  });

  it('looks at the dependents when an owner goes', () => {
    const view = ownership(object('child', { owner: 'parent' }));
    const change = { kind: 'delete', type: resources.configMaps, object: object('parent') } as const;
    expect([...garbageCollector(view).keysFor(change, view)]).toEqual(['child']);
  });

  it('in the foreground deletes blocking dependents before it lets the owner go', () => {
    const parent = object('parent', { finalizer: 'foregroundDeletion', deleting: true });
    expect(reconcile('parent', parent, object('child', { owner: 'parent' }))).toMatchObject([
      { kind: 'delete', object: { metadata: { name: 'child' } }, propagationPolicy: 'Foreground' },
    ]);
    expect(reconcile('parent', parent)).toMatchObject([
      { kind: 'patch', name: 'parent', patch: { metadata: { resourceVersion: '5', finalizers: ['other'] } } },
    ]);
  });

  it('orphans dependents before it lets the owner go', () => {
    const parent = object('parent', { finalizer: 'orphan', deleting: true });
    expect(reconcile('parent', parent, object('child', { owner: 'parent' }))).toMatchObject([
      { kind: 'patch', name: 'child', patch: { metadata: { ownerReferences: [] } } },
      { kind: 'patch', name: 'parent', patch: { metadata: { finalizers: ['other'] } } },
    ]);
  });
});
