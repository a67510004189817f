import { timestamp } from '@weft/kubernetes';
import type { AdmissionChain } from '../admission/admission.ts';
import { badRequest, conflict, notFound, successStatus } from '../api-error.ts';
import type { User } from '../auth/user.ts';
import {
  cloneJson,
  numberAt,
  objectKey,
  stringAt,
  stringsAt,
  type ApiObject,
  type JsonObject,
} from '../object.ts';
import type { Resource } from '../resource.ts';
import type { Store } from '../store/store.ts';
import { present } from './representation.ts';
import { countsGenerations, gracePeriodOf } from './strategy.ts';

const FOREGROUND_FINALIZER = 'foregroundDeletion';
const ORPHAN_FINALIZER = 'orphan';

export interface DeleteOptions {
  readonly gracePeriodSeconds: number | undefined;
  readonly propagationPolicy: 'Background' | 'Foreground' | 'Orphan' | undefined;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly dryRun: boolean;
  /** As sent, for webhooks. */
  readonly raw: JsonObject;
}

/** Options of a DELETE: its body, then its query, as the real server reads them. */
export function deleteOptionsOf(body: JsonObject, parameters: URLSearchParams): DeleteOptions {
  const policy = stringAt(body, 'propagationPolicy') ?? parameters.get('propagationPolicy') ?? undefined;
  if (policy !== undefined && policy !== 'Background' && policy !== 'Foreground' && policy !== 'Orphan') {
    throw badRequest(
      `propagationPolicy: Unsupported value: ${JSON.stringify(policy)}: supported values: "Background", "Foreground", "Orphan"`,
    );
  }
  const queryGrace = parameters.get('gracePeriodSeconds');
  const grace =
    numberAt(body, 'gracePeriodSeconds') ?? (queryGrace === null ? undefined : Number(queryGrace));
  return {
    gracePeriodSeconds: grace,
    propagationPolicy: body['orphanDependents'] === true ? 'Orphan' : policy,
    uid: stringAt(body, 'preconditions', 'uid'),
    resourceVersion: stringAt(body, 'preconditions', 'resourceVersion'),
    dryRun: stringsAt(body, 'dryRun').includes('All') || parameters.get('dryRun') === 'All',
    raw: { kind: 'DeleteOptions', apiVersion: 'meta.k8s.io/v1', ...body },
  };
}

/** True once nothing holds an object that is being deleted: no finalizer and no grace period. */
export function isDeleted(object: ApiObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (finalizers?.length ?? 0) > 0) return false;
  if (object.kind === 'Namespace' && object.apiVersion === 'v1')
    return stringsAt(object, 'spec', 'finalizers').length === 0;
  return (deletionGracePeriodSeconds ?? 0) === 0;
}

/** Deletes at once what nothing holds, and marks the rest for those who do. */
export class ObjectDeleter {
  private readonly store: Store;
  private readonly admission: AdmissionChain;
  private readonly now: () => Date;

  constructor(store: Store, admission: AdmissionChain, now: () => Date) {
    this.store = store;
    this.admission = admission;
    this.now = now;
  }

  /** A Status when the object is gone, else the object that is on its way. */
  async delete(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    user: User,
    options: DeleteOptions,
    warnings: string[],
  ): Promise<JsonObject> {
    const key = objectKey(namespace, name);
    const before = this.store.get(resource.collection, key);
    if (before === undefined) throw notFound(resource, name);
    checkPreconditions(resource, before, options);
    const admission = {
      operation: 'DELETE',
      resource,
      subresource: undefined,
      namespace,
      name,
      user,
      object: undefined,
      oldObject: present(resource, before),
      options: options.raw,
      dryRun: options.dryRun,
      warnings,
    } as const;
    await this.admission.mutate(admission);
    await this.admission.validate(admission);

    const live = this.store.get(resource.collection, key);
    if (live === undefined) throw notFound(resource, name);
    checkPreconditions(resource, live, options);
    const marked = this.mark(resource, live, options);
    if (isDeleted(marked)) {
      if (!options.dryRun) this.store.delete(resource.collection, key);
      return successStatus({
        name,
        ...(resource.group === '' ? {} : { group: resource.group }),
        kind: resource.plural,
        uid: live.metadata.uid ?? '',
      });
    }
    if (options.dryRun || marked === live) return present(resource, marked);
    return present(resource, this.store.put(resource.collection, marked));
  }

  /** The object with its deletion marks; the live object itself when they are already there. */
  private mark(resource: Resource, live: ApiObject, options: DeleteOptions): ApiObject {
    const grace = graceOf(resource, live, options);
    const object = cloneJson(live);
    const { metadata } = object;
    const finalizers = finalizersOf(metadata.finalizers ?? [], options);
    if (finalizers.length > 0) metadata.finalizers = finalizers;
    else delete metadata.finalizers;

    const alreadyGrace = metadata.deletionGracePeriodSeconds;
    if (metadata.deletionTimestamp === undefined) {
      metadata.deletionTimestamp = timestamp(new Date(this.now().getTime() + grace * 1000));
      metadata.deletionGracePeriodSeconds = grace;
      if (countsGenerations(resource)) metadata.generation = (metadata.generation ?? 0) + 1;
      if (resource.collection === 'namespaces')
        object['status'] = { ...statusOf(object), phase: 'Terminating' };
      return object;
    }
    const shorter = alreadyGrace !== undefined && grace < alreadyGrace;
    if (shorter) {
      metadata.deletionTimestamp = timestamp(new Date(this.now().getTime() + grace * 1000));
      metadata.deletionGracePeriodSeconds = grace;
    }
    const sameFinalizers = finalizers.join() === (live.metadata.finalizers ?? []).join();
    return shorter || !sameFinalizers ? object : live;
  }
}

function statusOf(object: ApiObject): JsonObject {
  const status = object['status'];
  return typeof status === 'object' && status !== null && !Array.isArray(status) ? status : {};
}

/** Only pods have one: none is needed for a pod that never reached a node or has ended. */
function graceOf(resource: Resource, object: ApiObject, options: DeleteOptions): number {
  if (resource.collection !== 'pods') return 0;
  const phase = stringAt(object, 'status', 'phase');
  if ((stringAt(object, 'spec', 'nodeName') ?? '') === '' || phase === 'Succeeded' || phase === 'Failed')
    return 0;
  const grace = options.gracePeriodSeconds ?? gracePeriodOf(object);
  return grace < 0 ? 1 : grace;
}

function finalizersOf(present: readonly string[], { propagationPolicy }: DeleteOptions): string[] {
  if (propagationPolicy === undefined) return [...present];
  const others = present.filter(
    (finalizer) => finalizer !== FOREGROUND_FINALIZER && finalizer !== ORPHAN_FINALIZER,
  );
  if (propagationPolicy === 'Foreground') return [...others, FOREGROUND_FINALIZER];
  if (propagationPolicy === 'Orphan') return [...others, ORPHAN_FINALIZER];
  return others;
}

function checkPreconditions(resource: Resource, live: ApiObject, options: DeleteOptions): void {
  const { name, uid, resourceVersion } = live.metadata;
  if (options.uid !== undefined && options.uid !== uid) {
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${options.uid}, UID in object meta: ${uid ?? ''}`,
    );
  }
  if (options.resourceVersion !== undefined && options.resourceVersion !== resourceVersion) {
    throw conflict(
      resource,
      name,
      `Precondition failed: ResourceVersion in precondition: ${options.resourceVersion}, ResourceVersion in object meta: ${resourceVersion ?? ''}`,
    );
  }
}
