import { jsonPatch, mergePatch, PatchError, serverSideApply, strategicMerge } from '../../patch/index.ts';
import { isObject, pruneUnknown, type JsonObject } from '../../schema/index.ts';
import { ApiError, badRequest, conflict, notFound, STALE_RESOURCE_VERSION } from '../api-error.ts';
import { objectKey, stringAt, textOf, type ApiObject } from '../object.ts';
import type { Resource } from '../resource.ts';
import type { Store } from '../store/store.ts';
import type { ObjectWriter } from './object-writer.ts';
import { isStatusLike, reportUnknown, type WriteRequest, type WriteResult } from './write-request.ts';
import { requireObject, type DecodedBody, type PatchKind } from './request-body.ts';

export interface PatchRequest extends WriteRequest {
  readonly name: string;
  readonly patchKind: PatchKind;
  readonly patch: DecodedBody;
  /** Of server-side apply only. */
  readonly force: boolean;
}

/** Any of the four kinds of patch; server-side apply also creates. */
export async function patchObject(
  writer: ObjectWriter,
  store: Store,
  now: () => Date,
  request: PatchRequest,
): Promise<WriteResult> {
  const { patchKind } = request;
  if (patchKind === 'apply') return applyPatch(writer, store, now, request);
  return writer.update(
    request,
    request.name,
    (live) => ({ object: patched(request.resource, patchKind, live, request.patch), managed: false }),
    { requireVersion: false },
  );
}

/** The live object with a JSON, merge or strategic merge patch applied. */
export function patched(
  resource: Resource,
  kind: Exclude<PatchKind, 'apply'>,
  live: JsonObject,
  patch: DecodedBody,
): JsonObject {
  return patching(resource, live, () => {
    switch (kind) {
      case 'json':
        return requireObject(jsonPatch(live, patch.value));
      case 'merge':
        return requireObject(mergePatch(live, requireObject(patch.value)));
      case 'strategic':
        if (resource.schema === undefined) throw badRequest('strategic merge is not possible for this kind');
        return strategicMerge(resource.schema, live, requireObject(patch.value));
    }
  });
}

/** A patch that doesn't fit is the client's mistake. */
function patching<T>(resource: Resource, object: JsonObject, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof PatchError ? patchFailure(resource, object, error) : error;
  }
}

function patchFailure(resource: Resource, live: JsonObject, error: PatchError): ApiError {
  if (error.status === 400) return badRequest(error.message);
  const name = stringAt(live, 'metadata', 'name') ?? '';
  return new ApiError(
    422,
    'Invalid',
    `the server rejected our request due to an error in our request: ${error.message}`,
    {
      name,
      ...(resource.group === '' ? {} : { group: resource.group }),
      kind: resource.kind,
    },
  );
}

async function applyPatch(
  writer: ObjectWriter,
  store: Store,
  now: () => Date,
  request: PatchRequest,
): Promise<WriteResult> {
  const { resource, namespace, name, subresource } = request;
  const body = requireObject(request.patch.value);
  checkApplyConfiguration(resource, name, body);
  const key = objectKey(namespace, name);
  // The pruned configuration decides what is owned; the writer reports what is unknown in it.
  const merge = (live: ApiObject | undefined): JsonObject => {
    const { schema } = resource;
    if (schema === undefined) throw badRequest('server-side apply is not possible for this kind');
    const { object: applied, unknownFields } = pruneUnknown(schema, body, request.fieldValidation);
    if (unknownFields.length > 0) reportUnknown(request, unknownFields);
    const result = patching(resource, body, () =>
      serverSideApply({
        schema,
        ...(live === undefined ? {} : { live }),
        applied,
        force: request.force,
        resetFields: isStatusLike(subresource)
          ? ['spec']
          : resource.subresources.some((s) => s.name === 'status')
            ? ['status']
            : [],
        manager: request.fieldManager,
        apiVersion: resource.apiVersion,
        ...(subresource === undefined ? {} : { subresource }),
        now: now(),
      }),
    );
    if (result.kind === 'applied') return result.object;
    throw new ApiError(409, 'Conflict', result.message, {
      causes: result.conflicts.map(({ message, path }) => ({
        reason: 'FieldManagerConflict',
        message,
        field: path,
      })),
    });
  };
  if (store.get(resource.collection, key) === undefined) {
    if (subresource !== undefined) throw notFound(resource, name);
    const uid = stringAt(body, 'metadata', 'uid') ?? '';
    if (uid !== '') {
      throw conflict(
        resource,
        name,
        `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`,
      );
    }
    return writer.create(request, merge(undefined), true);
  }
  return writer.update(
    request,
    name,
    (live) => {
      const version = stringAt(body, 'metadata', 'resourceVersion') ?? '';
      if (version !== '' && version !== live.metadata.resourceVersion)
        throw conflict(resource, name, STALE_RESOURCE_VERSION);
      return { object: merge(live), managed: true };
    },
    { requireVersion: false },
  );
}

function checkApplyConfiguration(resource: Resource, name: string, body: JsonObject): void {
  if (body['apiVersion'] === undefined || body['kind'] === undefined) {
    throw badRequest('apiVersion and kind must be set in an apply configuration');
  }
  if (body['apiVersion'] !== resource.apiVersion) {
    throw badRequest(`apiVersion ${textOf(body['apiVersion'])} does not match ${resource.apiVersion}`);
  }
  const metadata = body['metadata'];
  if (!isObject(metadata)) throw badRequest('metadata must be set in an apply configuration');
  metadata['name'] ??= name;
  if (metadata['managedFields'] !== undefined && metadata['managedFields'] !== null) {
    throw badRequest('metadata.managedFields must be nil');
  }
}
