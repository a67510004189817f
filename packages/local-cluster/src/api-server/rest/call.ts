import type { ServiceAccountTokens } from '../auth/service-account-tokens.ts';
import type { User } from '../auth/user.ts';
import { badRequest, notFound } from '../api-error.ts';
import type { HttpExchange } from '../http-exchange.ts';
import { objectKey, type ApiObject, type JsonObject } from '../object.ts';
import type { ResourceRequest } from '../request-info.ts';
import type { Resource, ResourceCatalog } from '../resource.ts';
import type { Store } from '../store/store.ts';
import type { ObjectDeleter } from './deletion.ts';
import type { ObjectWriter } from './object-writer.ts';
import { present } from './representation.ts';
import { decodeObject, fieldValidationOf, requireObject } from './request-body.ts';
import type { Reviews } from './reviews.ts';
import type { WriteRequest } from './write-request.ts';

const MAX_FIELD_MANAGER_LENGTH = 128;

export interface EndpointParts {
  readonly store: Store;
  readonly catalog: ResourceCatalog;
  readonly writer: ObjectWriter;
  readonly deleter: ObjectDeleter;
  readonly reviews: Reviews;
  readonly tokens: ServiceAccountTokens;
  readonly now: () => Date;
}

/** One call on `/api/v1/…` or `/apis/…`. */
export interface Call {
  readonly exchange: HttpExchange;
  readonly request: ResourceRequest;
  readonly resource: Resource;
  readonly user: User;
  readonly namespace: string | undefined;
}

export function nameOf({ request }: Call): string {
  if (request.name === undefined) throw badRequest('name must be provided');
  return request.name;
}

/** The stored object a call is about, in the call's version; 404 when there is none. */
export function liveObject({ store }: EndpointParts, call: Call): ApiObject {
  const name = nameOf(call);
  const stored = store.get(call.resource.collection, objectKey(call.namespace, name));
  if (stored === undefined) throw notFound(call.resource, name);
  return present(call.resource, stored);
}

/** The body as an object, whatever its encoding. */
export async function readObject(
  { catalog }: EndpointParts,
  { exchange }: Call,
): Promise<{ object: JsonObject; duplicateFields: readonly string[] }> {
  const body = await exchange.body();
  const { value, duplicateFields } = decodeObject(catalog.registry, exchange.headers['content-type'], body);
  return { object: requireObject(value), duplicateFields };
}

/** Who writes what, and how, by the call's URL and headers. */
export function writeRequestOf(call: Call, duplicateFields: readonly string[]): WriteRequest {
  const { exchange, request, resource, user, namespace } = call;
  const parameters = exchange.url.searchParams;
  const fieldManager = parameters.get('fieldManager') ?? '';
  if (fieldManager.length > MAX_FIELD_MANAGER_LENGTH)
    throw badRequest(`fieldManager: Too long: may not be more than ${MAX_FIELD_MANAGER_LENGTH} bytes`);
  const dryRun = parameters.getAll('dryRun');
  if (dryRun.some((value) => value !== '' && value !== 'All'))
    throw badRequest(`dryRun: Unsupported value: supported values: "All"`);
  return {
    resource,
    subresource: request.subresource,
    namespace,
    user,
    fieldManager:
      fieldManager === '' ? (String(exchange.headers['user-agent'] ?? '').split('/')[0] ?? '') : fieldManager,
    fieldValidation: fieldValidationOf(parameters),
    dryRun: dryRun.includes('All'),
    options: {
      kind:
        request.verb === 'create'
          ? 'CreateOptions'
          : request.verb === 'update'
            ? 'UpdateOptions'
            : 'PatchOptions',
      apiVersion: 'meta.k8s.io/v1',
      ...(fieldManager === '' ? {} : { fieldManager }),
      ...(dryRun.includes('All') ? { dryRun: ['All'] } : {}),
    },
    duplicateFields,
    warnings: exchange.warnings,
  };
}
