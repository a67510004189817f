import { fieldError, pruneUnknown, strictDecodingErrors, type FieldValidation } from '../../schema/index.ts';
import { badRequest, conflict, invalid, STALE_RESOURCE_VERSION } from '../api-error.ts';
import type { User } from '../auth/user.ts';
import { cloneJson, textOf, type ApiObject, type JsonObject, type ObjectMeta } from '../object.ts';
import type { Resource } from '../resource.ts';
import { parseObjectMeta } from './object-meta.ts';

/** Who writes what, and how. */
export interface WriteRequest {
  readonly resource: Resource;
  readonly subresource: string | undefined;
  readonly namespace: string | undefined;
  readonly user: User;
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
  readonly dryRun: boolean;
  /** CreateOptions and the like, for webhooks. */
  readonly options: JsonObject;
  readonly duplicateFields: readonly string[];
  readonly warnings: string[];
}

export interface WriteResult {
  readonly object: ApiObject;
  readonly created: boolean;
}

/** What to write over the live object; called again when that has changed meanwhile. */
export interface Update {
  /** `managed`: `managedFields` are already right, as server-side apply leaves them. */
  readonly object: JsonObject;
  readonly managed: boolean;
}

/** The object as the resource's type: right kind and namespace, nothing unknown in it. */
export function typedObject(request: WriteRequest, decoded: JsonObject): ApiObject {
  const { resource, namespace } = request;
  const { apiVersion, kind } = decoded;
  if (apiVersion !== undefined && apiVersion !== '' && apiVersion !== resource.apiVersion) {
    throw badRequest(
      `the API version in the data (${textOf(apiVersion)}) does not match the expected API version (${resource.apiVersion})`,
    );
  }
  if (kind !== undefined && kind !== '' && kind !== resource.kind) {
    throw badRequest(
      `${resource.kind} in version "${resource.version}" cannot be handled as a ${textOf(kind)}`,
    );
  }
  let object: JsonObject = { ...cloneJson(decoded), apiVersion: resource.apiVersion, kind: resource.kind };
  if (resource.schema !== undefined) {
    const pruned = pruneUnknown(resource.schema, object, request.fieldValidation);
    reportUnknown(request, pruned.unknownFields);
    object = pruned.object;
  }
  const metadata = parseObjectMeta(resource, object['metadata']);
  if (resource.namespaced) {
    const given = metadata.namespace ?? '';
    if (given !== '' && given !== namespace) {
      throw badRequest(
        'the namespace of the provided object does not match the namespace sent on the request',
      );
    }
    metadata.namespace = namespace ?? '';
  } else {
    delete metadata.namespace;
  }
  return { ...object, apiVersion: resource.apiVersion, kind: resource.kind, metadata };
}

/** 400 or warnings for fields that the type doesn't have, as `fieldValidation` says. */
export function reportUnknown(request: WriteRequest, unknownFields: readonly string[]): void {
  const problems = strictDecodingErrors(unknownFields, request.duplicateFields);
  if (problems.length === 0 || request.fieldValidation === 'Ignore') return;
  if (request.fieldValidation === 'Warn') {
    for (const problem of problems) if (!request.warnings.includes(problem)) request.warnings.push(problem);
    return;
  }
  const { resource } = request;
  const prefix =
    resource.custom === undefined
      ? `${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: `
      : '';
  throw badRequest(`${prefix}strict decoding error: ${problems.join(', ')}`);
}

export function isStatusLike(subresource: string | undefined): boolean {
  return subresource === 'status' || subresource === 'approval';
}

/** Name, uid and resourceVersion of an update are those of the live object, or it is refused. */
export function checkIdentity(
  resource: Resource,
  object: ApiObject,
  live: ApiObject,
  givenVersion: string,
  requireVersion: boolean,
): void {
  const { name, uid } = object.metadata;
  if (name !== '' && name !== live.metadata.name) {
    throw badRequest(
      `the name of the object (${name}) does not match the name on the URL (${live.metadata.name})`,
    );
  }
  if (uid !== undefined && uid !== '' && uid !== live.metadata.uid) {
    throw conflict(
      resource,
      live.metadata.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${live.metadata.uid ?? ''}`,
    );
  }
  if (givenVersion === '') {
    if (requireVersion && resource.custom !== undefined) {
      throw invalid(resource, live.metadata.name, [
        fieldError.invalid('metadata.resourceVersion', 0, 'must be specified for an update'),
      ]);
    }
    return;
  }
  if (givenVersion !== live.metadata.resourceVersion)
    throw conflict(resource, live.metadata.name, STALE_RESOURCE_VERSION);
}

/** Fields of the metadata that only the server sets. */
export function keepSystemFields(metadata: ObjectMeta, live: ObjectMeta): void {
  metadata.name = live.name;
  for (const field of [
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generation',
    'resourceVersion',
  ]) {
    const value = live[field];
    if (value === undefined) delete metadata[field];
    else metadata[field] = value;
  }
}
