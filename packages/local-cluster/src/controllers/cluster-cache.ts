import {
  objectKey,
  Reflector,
  type KubernetesClient,
  type KubernetesObject,
  type ResourceType,
} from '@weft/kubernetes';
import type { Logger } from '@weft/telemetry';
import { resourceId } from './discovery.ts';
import { controllerOf } from './objects.ts';
import type { ClusterView, ObjectChange } from './reconcile.ts';

/** An object and the resource it is of. */
export interface LocatedObject {
  readonly type: ResourceType;
  readonly object: KubernetesObject;
}

/** Ownership across all resources, for garbage collection. */
export interface OwnershipView extends ClusterView {
  byUid(uid: string): LocatedObject | undefined;
  dependentsOf(ownerUid: string): readonly LocatedObject[];
}

/** UIDs of objects that this process saw deleted, so that a late event can't bring one back. */
const MAX_REMEMBERED_DELETIONS = 4_096;

interface TypeCache {
  readonly type: ResourceType;
  readonly objects: Map<string, KubernetesObject>;
  readonly stop: AbortController;
}

/**
 * Mirrors of all resources in one place. The answers to this process's own writes go in at once: a controller that
 * has just made a pod sees it in its next pass, so it never makes a second one for want of a watch event.
 */
export class ClusterCache implements OwnershipView {
  private readonly client: KubernetesClient;
  private readonly logger: Logger;
  private readonly onChange: (change: ObjectChange) => void;
  private readonly types = new Map<string, TypeCache>();
  private readonly uids = new Map<string, LocatedObject>();
  private readonly dependents = new Map<string, Map<string, LocatedObject>>();
  private readonly deletedUids = new Set<string>();

  constructor(o: { client: KubernetesClient; logger: Logger; onChange: (change: ObjectChange) => void }) {
    this.client = o.client;
    this.logger = o.logger;
    this.onChange = o.onChange;
  }

  /** Starts mirroring a resource, once. Resolves at the first complete state. */
  track(type: ResourceType, retain?: (object: KubernetesObject) => KubernetesObject): Promise<void> {
    const id = resourceId(type);
    if (this.types.has(id)) return Promise.resolve();
    const stop = new AbortController();
    this.types.set(id, { type, objects: new Map(), stop });
    return new Promise((resolve) => {
      new Reflector<KubernetesObject>({
        client: this.client,
        type,
        onChange: (changes) => {
          for (const { kind, object } of changes) {
            if (kind === 'upsert') this.upsert(type, retain === undefined ? object : retain(object));
            else this.remove(type, object);
          }
        },
        onSynced: resolve,
        signal: stop.signal,
        absentIsEmpty: true,
        ...(retain === undefined ? {} : { retain }),
        logger: this.logger,
      });
    });
  }

  /** Forgets a resource that is no longer served, and its objects. */
  untrack(type: ResourceType): void {
    const cache = this.types.get(resourceId(type));
    if (cache === undefined) return;
    cache.stop.abort();
    for (const object of cache.objects.values()) this.remove(type, object);
    this.types.delete(resourceId(type));
  }

  tracked(): readonly ResourceType[] {
    return [...this.types.values()].map(({ type }) => type);
  }

  close(): void {
    for (const { stop } of this.types.values()) stop.abort();
  }

  get<T extends KubernetesObject>(type: ResourceType<T>, name: string, namespace?: string): T | undefined {
    const key = namespace === undefined ? name : `${namespace}/${name}`;
    return this.types.get(resourceId(type))?.objects.get(key) as T | undefined; // the resource decides the type
  }

  list<T extends KubernetesObject>(type: ResourceType<T>, namespace?: string): readonly T[] {
    const objects = [...(this.types.get(resourceId(type))?.objects.values() ?? [])] as T[]; // as above
    return namespace === undefined
      ? objects
      : objects.filter((object) => object.metadata.namespace === namespace);
  }

  controlledBy<T extends KubernetesObject>(
    type: ResourceType<T>,
    ownerUid: string | undefined,
  ): readonly T[] {
    if (ownerUid === undefined) return [];
    const id = resourceId(type);
    return this.dependentsOf(ownerUid)
      .filter(
        (dependent) => resourceId(dependent.type) === id && controllerOf(dependent.object)?.uid === ownerUid,
      )
      .map(({ object }) => object as T); // as above
  }

  byUid(uid: string): LocatedObject | undefined {
    return this.uids.get(uid);
  }

  dependentsOf(ownerUid: string): readonly LocatedObject[] {
    return [...(this.dependents.get(ownerUid)?.values() ?? [])];
  }

  /** Takes over a newer state, from a watch or from the answer to a write. */
  upsert(type: ResourceType, object: KubernetesObject): void {
    const cache = this.types.get(resourceId(type));
    const { uid = '' } = object.metadata;
    if (cache === undefined || this.deletedUids.has(uid)) return;
    const key = objectKey(object);
    const known = cache.objects.get(key);
    if (known !== undefined && known.metadata.uid === uid && versionOf(known) >= versionOf(object)) return;
    if (known !== undefined) this.unindex(known);
    cache.objects.set(key, object);
    this.index({ type, object });
    this.onChange({ kind: 'upsert', type, object });
  }

  remove(type: ResourceType, object: KubernetesObject): void {
    const cache = this.types.get(resourceId(type));
    const key = objectKey(object);
    const known = cache?.objects.get(key);
    const { uid = '' } = object.metadata;
    this.deletedUids.add(uid);
    if (this.deletedUids.size > MAX_REMEMBERED_DELETIONS) {
      const [oldest = ''] = this.deletedUids;
      this.deletedUids.delete(oldest);
    }
    if (cache === undefined || known === undefined || known.metadata.uid !== uid) return;
    this.unindex(known);
    cache.objects.delete(key);
    this.onChange({ kind: 'delete', type, object: known });
  }

  private index(located: LocatedObject): void {
    const { uid = '', ownerReferences = [] } = located.object.metadata;
    this.uids.set(uid, located);
    for (const owner of ownerReferences) {
      const siblings = this.dependents.get(owner.uid) ?? new Map<string, LocatedObject>();
      siblings.set(uid, located);
      this.dependents.set(owner.uid, siblings);
    }
  }

  private unindex(object: KubernetesObject): void {
    const { uid = '', ownerReferences = [] } = object.metadata;
    this.uids.delete(uid);
    for (const owner of ownerReferences) {
      const siblings = this.dependents.get(owner.uid);
      siblings?.delete(uid);
      if (siblings?.size === 0) this.dependents.delete(owner.uid);
    }
  }
}

/** One counter numbers all writes of a local cluster, so versions compare as numbers. */
function versionOf(object: KubernetesObject): number {
  return Number(object.metadata.resourceVersion ?? 0);
}
