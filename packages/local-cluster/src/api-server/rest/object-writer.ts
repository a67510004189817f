import { timestamp } from '@weft/kubernetes';
import { randomUUID } from 'node:crypto';
import { applyDefaults, fieldError, validate, type FieldError } from '../../schema/index.ts';
import { trackUpdate } from '../../patch/index.ts';
import type { AdmissionChain, AdmissionRequest } from '../admission/admission.ts';
import { randomSuffix } from '../admission/service-account.ts';
import {
  alreadyExists,
  badRequest,
  conflict,
  invalid,
  notFound,
  STALE_RESOURCE_VERSION,
} from '../api-error.ts';
import { isObject, objectKey, textOf, type ApiObject, type JsonObject } from '../object.ts';
import { CRD_COLLECTION, type Resource, type ResourceCatalog } from '../resource.ts';
import type { Store } from '../store/store.ts';
import { defaultNames, establish, validateDefinition } from './custom-resource-definitions.ts';
import { CLEANUP_FINALIZER } from './custom-resource-cleanup.ts';
import { isDeleted } from './deletion.ts';
import { immutableFieldErrors } from './immutable-fields.ts';
import { present } from './representation.ts';
import type { ServiceAddresses } from './service-addresses.ts';
import { countsGenerations, desiredStateChanged, isNoOp, prepareCreate, prepareUpdate } from './strategy.ts';
import {
  checkIdentity,
  isStatusLike,
  keepSystemFields,
  typedObject,
  type Update,
  type WriteRequest,
  type WriteResult,
} from './write-request.ts';

/** A patch without a precondition is tried again when another write got in between, this often. */
const MAX_UPDATE_ATTEMPTS = 5;
const MAX_ANNOTATION_BYTES = 256 * 1024;

/** Creates and updates: pruning, defaults, admission, validation, managed fields, and the write itself. */
export class ObjectWriter {
  private readonly store: Store;
  private readonly catalog: ResourceCatalog;
  private readonly admission: AdmissionChain;
  private readonly addresses: ServiceAddresses;
  private readonly now: () => Date;

  constructor(parts: {
    store: Store;
    catalog: ResourceCatalog;
    admission: AdmissionChain;
    addresses: ServiceAddresses;
    now: () => Date;
  }) {
    this.store = parts.store;
    this.catalog = parts.catalog;
    this.admission = parts.admission;
    this.addresses = parts.addresses;
    this.now = parts.now;
  }

  async create(request: WriteRequest, decoded: JsonObject, managed: boolean): Promise<WriteResult> {
    const { resource } = request;
    const object = typedObject(request, decoded);
    const { metadata } = object;
    if ((metadata.resourceVersion ?? '') !== '')
      throw badRequest('resourceVersion should not be set on objects to be created');
    if ((metadata.name ?? '') === '' && (metadata.generateName ?? '') !== '') {
      metadata.name = `${metadata.generateName ?? ''}${randomSuffix()}`;
    }
    for (const field of ['deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink', 'resourceVersion'])
      delete metadata[field];
    if (!managed) delete metadata.managedFields;
    metadata.uid = randomUUID();
    metadata.creationTimestamp = timestamp(this.now());
    if (countsGenerations(resource)) metadata.generation = 1;
    else delete metadata.generation;
    prepareCreate(resource, object);
    this.complete(resource, object);
    const key = objectKey(metadata.namespace, metadata.name);
    if (metadata.name !== '' && this.store.get(resource.collection, key) !== undefined) {
      throw alreadyExists(resource, metadata.name);
    }
    const admission = this.admissionRequest(request, 'CREATE', object, undefined);
    await this.admission.mutate(admission);
    this.complete(resource, object);
    this.check(resource, object, undefined);
    await this.admission.validate(admission);
    if (!managed) this.track(request, object, undefined);
    if (this.store.get(resource.collection, key) !== undefined) throw alreadyExists(resource, metadata.name);
    return { object: this.commit(request, object), created: true };
  }

  /**
   * Replaces an object by what `change` makes of it; again, on the newer object, when another write got in between.
   * A resourceVersion that the client wrote is a precondition: 409 when it is stale.
   */
  async update(
    request: WriteRequest,
    name: string,
    change: (live: ApiObject) => Update,
    rules: { readonly requireVersion: boolean },
  ): Promise<WriteResult> {
    const { resource } = request;
    const key = objectKey(request.namespace, name);
    for (let attempt = 1; ; attempt++) {
      const stored = this.store.get(resource.collection, key);
      if (stored === undefined) throw notFound(resource, name);
      const live = present(resource, stored);
      const { object: changed, managed } = change(live);
      const object = typedObject(request, changed);
      const given = object.metadata.resourceVersion ?? '';
      checkIdentity(resource, object, live, given, rules.requireVersion);
      const outcome = await this.writeUpdate(request, object, live, stored, managed);
      if (outcome !== 'changed-meanwhile') return { object: outcome, created: false };
      if (attempt === MAX_UPDATE_ATTEMPTS) throw conflict(resource, name, STALE_RESOURCE_VERSION);
    }
  }

  /** Stores a namespace with new finalizers, or removes it when none is left. */
  storeFinalized(resource: Resource, object: ApiObject): ApiObject {
    if (!isDeleted(object)) return this.store.put(resource.collection, object);
    this.store.delete(resource.collection, objectKey(undefined, object.metadata.name));
    return object;
  }

  private async writeUpdate(
    request: WriteRequest,
    object: ApiObject,
    live: ApiObject,
    stored: ApiObject,
    managed: boolean,
  ): Promise<ApiObject | 'changed-meanwhile'> {
    const { resource, subresource } = request;
    keepSystemFields(object.metadata, live.metadata);
    prepareUpdate(resource, isStatusLike(subresource) ? 'status' : 'main', object, live);
    this.complete(resource, object);
    const admission = this.admissionRequest(request, 'UPDATE', object, live);
    await this.admission.mutate(admission);
    this.complete(resource, object);
    if (
      countsGenerations(resource) &&
      !isStatusLike(subresource) &&
      desiredStateChanged(resource, object, live)
    ) {
      object.metadata.generation = (live.metadata.generation ?? 0) + 1;
    }
    this.check(resource, object, live);
    await this.admission.validate(admission);
    if (!managed) this.track(request, object, live);
    const key = objectKey(live.metadata.namespace, live.metadata.name);
    if (this.store.get(resource.collection, key) !== stored) return 'changed-meanwhile';
    if (isNoOp(object, live)) return live;
    if (isDeleted(object)) {
      if (request.dryRun) return object;
      this.store.delete(resource.collection, key);
      return object;
    }
    return this.commit(request, object);
  }

  private complete(resource: Resource, object: ApiObject): void {
    if (resource.schema !== undefined) applyDefaults(resource.schema, resource, object);
    if (resource.collection === CRD_COLLECTION) defaultNames(object);
    if (resource.collection === 'secrets') encodeStringData(object);
  }

  private check(resource: Resource, object: ApiObject, live: ApiObject | undefined): void {
    const errors: FieldError[] = [];
    if (object.metadata.name === '')
      errors.push(fieldError.required('metadata.name', 'name or generateName is required'));
    const annotationBytes = Object.entries(object.metadata.annotations ?? {}).reduce(
      (sum, [k, v]) => sum + k.length + v.length,
      0,
    );
    if (annotationBytes > MAX_ANNOTATION_BYTES) {
      errors.push(
        fieldError.tooLong('metadata.annotations', `may not be more than ${MAX_ANNOTATION_BYTES} bytes`),
      );
    }
    if (live?.metadata.deletionTimestamp !== undefined) {
      const added = (object.metadata.finalizers ?? []).filter(
        (f) => !(live.metadata.finalizers ?? []).includes(f),
      );
      if (added.length > 0) {
        const why = `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`;
        errors.push(fieldError.forbidden('metadata.finalizers', why));
      }
    }
    if (resource.schema !== undefined) errors.push(...validate(resource.schema, resource, object, live));
    if (live !== undefined) errors.push(...immutableFieldErrors(resource, object, live));
    if (resource.collection === CRD_COLLECTION) {
      errors.push(...validateDefinition(this.catalog.registry, object, live));
      if (errors.length === 0) establish(this.store, object, this.now());
      if (live === undefined)
        object.metadata.finalizers = [...(object.metadata.finalizers ?? []), CLEANUP_FINALIZER];
    }
    if (resource.collection === 'services' && errors.length === 0)
      errors.push(...this.addresses.allocate(object, live));
    if (errors.length > 0) throw invalid(resource, object.metadata.name, errors);
  }

  private track(request: WriteRequest, object: ApiObject, live: ApiObject | undefined): void {
    const { resource, subresource, fieldManager } = request;
    if (resource.schema === undefined) return;
    const managedFields = trackUpdate({
      schema: resource.schema,
      ...(live === undefined ? {} : { before: live }),
      after: object,
      manager: fieldManager,
      apiVersion: resource.apiVersion,
      ...(subresource === undefined ? {} : { subresource }),
      now: this.now(),
    });
    if (managedFields.length > 0) object.metadata.managedFields = managedFields;
    else delete object.metadata.managedFields;
  }

  private commit(request: WriteRequest, object: ApiObject): ApiObject {
    const { resource, dryRun } = request;
    if (dryRun) return object;
    return present(resource, this.store.put(resource.collection, this.forStorage(resource, object)));
  }

  private forStorage(resource: Resource, object: ApiObject): ApiObject {
    return resource.custom === undefined
      ? object
      : { ...object, apiVersion: resource.custom.storageApiVersion };
  }

  private admissionRequest(
    request: WriteRequest,
    operation: 'CREATE' | 'UPDATE',
    object: ApiObject,
    oldObject: ApiObject | undefined,
  ): AdmissionRequest {
    const { resource, subresource, namespace, user, options, dryRun, warnings } = request;
    const name = object.metadata.name;
    return {
      operation,
      resource,
      subresource,
      namespace,
      name,
      user,
      object,
      oldObject,
      options,
      dryRun,
      warnings,
    };
  }
}

/** `stringData` is for writing only: it is moved into `data`. */
function encodeStringData(secret: ApiObject): void {
  const text = secret['stringData'];
  if (!isObject(text)) return;
  const data = isObject(secret['data']) ? secret['data'] : {};
  for (const [key, value] of Object.entries(text)) data[key] = Buffer.from(textOf(value)).toString('base64');
  secret['data'] = data;
  delete secret['stringData'];
}
