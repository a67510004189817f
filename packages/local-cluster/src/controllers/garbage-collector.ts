import type { KubernetesObject } from '@weft/kubernetes';
import type { LocatedObject, OwnershipView } from './cluster-cache.ts';
import { isTerminating } from './pods.ts';
import { nothing, type Controller, type Reconciliation, type Write } from './reconcile.ts';

const FOREGROUND = 'foregroundDeletion';
const ORPHAN = 'orphan';

/**
 * Deletes what its owners left behind. Keys are UIDs.
 *
 * - background: the owner is gone; a dependent without a living owner goes after a look at the API server itself,
 *   because mirrors of different resources don't move in step;
 * - foreground: the owner waits, terminating, until the dependents that block it are gone;
 * - orphan: the owner waits until no dependent names it any longer.
 */
export function garbageCollector(ownership: OwnershipView): Controller {
  return {
    name: 'garbage-collector',

    keysFor({ kind, object }) {
      const { uid = '', ownerReferences = [] } = object.metadata;
      const owners = ownerReferences.map((owner) => owner.uid);
      if (kind === 'upsert') {
        const waiting = owners.filter(
          (owner) => ownership.byUid(owner)?.object.metadata.deletionTimestamp !== undefined,
        );
        const concerned =
          owners.length > 0 || hasFinalizer(object, FOREGROUND) || hasFinalizer(object, ORPHAN);
        return concerned ? [uid, ...waiting] : [];
      }
      return [
        ...owners,
        ...ownership.dependentsOf(uid).map((dependent) => dependent.object.metadata.uid ?? ''),
      ];
    },

    reconcile(uid) {
      const located = ownership.byUid(uid);
      if (located === undefined) return nothing;
      const { object } = located;
      if (isTerminating(object)) {
        const dependents = ownership.dependentsOf(uid);
        if (hasFinalizer(object, ORPHAN)) return { writes: orphan(located, dependents) };
        if (hasFinalizer(object, FOREGROUND)) return { writes: deleteForeground(located, dependents) };
        return nothing;
      }
      return collect(located, ownership);
    },
  };
}

function collect(located: LocatedObject, ownership: OwnershipView): Reconciliation {
  const owners = located.object.metadata.ownerReferences ?? [];
  if (owners.length === 0 || owners.some(({ uid }) => ownership.byUid(uid) !== undefined)) return nothing;
  return { writes: [{ kind: 'collect', ...located }] };
}

function orphan(owner: LocatedObject, dependents: readonly LocatedObject[]): readonly Write[] {
  const { uid } = owner.object.metadata;
  return [
    ...dependents.map(({ type, object }): Write => {
      const { name = '', namespace, ownerReferences = [] } = object.metadata;
      const metadata = { ownerReferences: ownerReferences.filter((reference) => reference.uid !== uid) };
      return { kind: 'patch', type, name, namespace, patch: { metadata } };
    }),
    withoutFinalizer(owner, ORPHAN),
  ];
}

function deleteForeground(owner: LocatedObject, dependents: readonly LocatedObject[]): readonly Write[] {
  const { uid } = owner.object.metadata;
  const blocking = dependents.filter(({ object }) =>
    object.metadata.ownerReferences?.some(
      (reference) => reference.uid === uid && reference.blockOwnerDeletion === true,
    ),
  );
  if (blocking.length === 0) return [withoutFinalizer(owner, FOREGROUND)];
  return dependents
    .filter(({ object }) => !isTerminating(object))
    .map(({ type, object }) => ({ kind: 'delete', type, object, propagationPolicy: 'Foreground' }));
}

function withoutFinalizer({ type, object }: LocatedObject, finalizer: string): Write {
  const { name = '', namespace, resourceVersion, finalizers = [] } = object.metadata;
  // The version makes it fail, and be tried again, when somebody else changed the list meanwhile.
  const metadata = { resourceVersion, finalizers: finalizers.filter((item) => item !== finalizer) };
  return { kind: 'patch', type, name, namespace, patch: { metadata } };
}

function hasFinalizer(object: KubernetesObject, finalizer: string): boolean {
  return object.metadata.finalizers?.includes(finalizer) === true;
}
