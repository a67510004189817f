import type { KubernetesObject, ResourceType } from '@weft/kubernetes';

/** The latest known state of the cluster, including this process's own writes. */
export interface ClusterView {
  get<T extends KubernetesObject>(type: ResourceType<T>, name: string, namespace?: string): T | undefined;
  list<T extends KubernetesObject>(type: ResourceType<T>, namespace?: string): readonly T[];
  /** Objects of the type whose controlling owner has this UID. */
  controlledBy<T extends KubernetesObject>(type: ResourceType<T>, ownerUid: string | undefined): readonly T[];
}

export interface ObjectChange {
  readonly kind: 'upsert' | 'delete';
  readonly type: ResourceType;
  readonly object: KubernetesObject;
}

/** What a controller wants done. Values, so that a decision can be tested without an API server. */
export type Write =
  | { readonly kind: 'create'; readonly type: ResourceType; readonly object: KubernetesObject }
  | {
      readonly kind: 'patch';
      readonly type: ResourceType;
      readonly name: string;
      readonly namespace?: string | undefined;
      readonly patch: object;
      /** `merge` unless told otherwise; `strategic` leaves list items of other writers alone. */
      readonly patchKind?: 'merge' | 'strategic';
      readonly subresource?: string;
    }
  | {
      readonly kind: 'delete';
      readonly type: ResourceType;
      readonly object: KubernetesObject;
      readonly gracePeriodSeconds?: number;
      readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
    }
  /** Deletes the object unless one of its owners turns out to be alive when asked directly. */
  | { readonly kind: 'collect'; readonly type: ResourceType; readonly object: KubernetesObject }
  | { readonly kind: 'bind'; readonly pod: KubernetesObject; readonly nodeName: string }
  | {
      readonly kind: 'event';
      readonly regarding: KubernetesObject;
      readonly type: 'Normal' | 'Warning';
      readonly reason: string;
      readonly message: string;
    };

export interface Reconciliation {
  readonly writes: readonly Write[];
  /** When to look again although nothing changed. */
  readonly requeueAfterMs?: number | undefined;
}

/** Level-triggered: `reconcile` sees only present state, so lost and repeated changes are harmless. */
export interface Controller {
  readonly name: string;
  /** Keys to reconcile because of a change. */
  keysFor(change: ObjectChange, view: ClusterView): Iterable<string>;
  reconcile(key: string, view: ClusterView, now: Date): Reconciliation;
}

export const nothing: Reconciliation = { writes: [] };

export function isOf<T extends KubernetesObject>(
  change: ObjectChange,
  type: ResourceType<T>,
): change is ObjectChange & { readonly object: T } {
  return change.type.group === type.group && change.type.plural === type.plural;
}

/** `namespace/name` or `name`, as `objectKey` makes it. */
export function splitKey(key: string): { readonly namespace: string | undefined; readonly name: string } {
  const slash = key.indexOf('/');
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
