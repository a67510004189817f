import type { AdmissionChain } from '../admission/admission.ts';
import { ApiError } from '../api-error.ts';
import { MASTERS_GROUP } from '../auth/user.ts';
import { cloneJson, type ApiObject } from '../object.ts';
import { CRD_COLLECTION, type ResourceCatalog } from '../resource.ts';
import type { Store } from '../store/store.ts';
import { isDeleted, ObjectDeleter } from './deletion.ts';

/** Holds a CRD until its objects are gone. */
export const CLEANUP_FINALIZER = 'customresourcecleanup.apiextensions.k8s.io';

/** Deletes the objects of a CRD that is being deleted, then lets go of the CRD. */
export class CustomResourceCleanup {
  private readonly store: Store;
  private readonly catalog: ResourceCatalog;
  private readonly deleter: ObjectDeleter;
  private readonly watched = new Set<string>();

  constructor(store: Store, catalog: ResourceCatalog, noAdmission: AdmissionChain, now: () => Date) {
    this.store = store;
    this.catalog = catalog;
    this.deleter = new ObjectDeleter(store, noAdmission, now);
    store.subscribe(CRD_COLLECTION, ({ type, object }) => {
      if (type !== 'DELETED' && object.metadata.deletionTimestamp !== undefined)
        this.later(object.metadata.name);
    });
    for (const { metadata } of store.list(CRD_COLLECTION)) {
      if (metadata.deletionTimestamp !== undefined) this.later(metadata.name);
    }
  }

  /** In a turn of its own: a store listener must not write. */
  private later(name: string): void {
    queueMicrotask(() => void this.clean(name));
  }

  private async clean(name: string): Promise<void> {
    const definition = this.store.get(CRD_COLLECTION, name);
    if (definition?.metadata.finalizers?.includes(CLEANUP_FINALIZER) !== true) return;
    // A CRD is named as its objects' collection is.
    const objects = this.store.list(name);
    if (objects.length === 0) {
      this.release(definition);
      return;
    }
    if (!this.watched.has(name)) {
      this.watched.add(name);
      this.store.subscribe(name, ({ type }) => {
        if (type === 'DELETED') this.later(name);
      });
    }
    const resource = this.catalog.all().find(({ collection }) => collection === name);
    for (const { metadata } of objects) {
      if (metadata.deletionTimestamp !== undefined || resource === undefined) continue;
      try {
        await this.deleter.delete(resource, metadata.namespace, metadata.name, cleaner, cleanupOptions, []);
      } catch (error) {
        // Gone already; anything else is a defect that must show.
        if (!ApiError.is(error)) throw error;
      }
    }
  }

  private release(definition: ApiObject): void {
    const released = cloneJson(definition);
    const finalizers = (released.metadata.finalizers ?? []).filter(
      (finalizer) => finalizer !== CLEANUP_FINALIZER,
    );
    if (finalizers.length > 0) released.metadata.finalizers = finalizers;
    else delete released.metadata.finalizers;
    if (isDeleted(released)) this.store.delete(CRD_COLLECTION, released.metadata.name);
    else this.store.put(CRD_COLLECTION, released);
  }
}

const cleaner = { name: 'system:apiserver', groups: [MASTERS_GROUP], extra: {} };
const cleanupOptions = {
  gracePeriodSeconds: undefined,
  propagationPolicy: undefined,
  uid: undefined,
  resourceVersion: undefined,
  dryRun: false,
  raw: {},
};
