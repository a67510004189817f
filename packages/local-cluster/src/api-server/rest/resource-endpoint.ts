import {
  ApiError,
  badRequest,
  conflict,
  methodNotAllowed,
  noSuchPath,
  notFound,
  STALE_RESOURCE_VERSION,
} from '../api-error.ts';
import type { ServiceAccountTokens } from '../auth/service-account-tokens.ts';
import type { User } from '../auth/user.ts';
import type { HttpExchange } from '../http-exchange.ts';
import { objectAt, objectKey, stringAt, type ApiObject, type JsonObject } from '../object.ts';
import type { ResourceRequest } from '../request-info.ts';
import { hasSubresource, type Resource, type ResourceCatalog } from '../resource.ts';
import type { Store } from '../store/store.ts';
import { deleteOptionsOf, type ObjectDeleter } from './deletion.ts';
import { listPage } from './list.ts';
import { negotiateRepresentation } from './media-types.ts';
import { type ObjectWriter, type WriteRequest, type WriteResult } from './object-writer.ts';
import { patched, patchObject } from './patch.ts';
import {
  includeObjectOf,
  listText,
  objectText,
  present,
  type RepresentationOptions,
} from './representation.ts';
import { decodeObject, decodePatch, fieldValidationOf, patchKindOf, requireObject } from './request-body.ts';
import type { Reviews } from './reviews.ts';
import {
  bindPod,
  createToken,
  evictionStatus,
  finalizedNamespace,
  scaleOf,
  takeDisruption,
  withScale,
} from './subresources.ts';
import { serveWatch } from './watch.ts';

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
interface Call {
  readonly exchange: HttpExchange;
  readonly request: ResourceRequest;
  readonly resource: Resource;
  readonly user: User;
  readonly namespace: string | undefined;
}

/** Reads and writes of resources and their subresources; streams (log, exec…) are elsewhere. */
export class ResourceEndpoint {
  private readonly parts: EndpointParts;

  constructor(parts: EndpointParts) {
    this.parts = parts;
  }

  async serve(
    exchange: HttpExchange,
    request: ResourceRequest,
    resource: Resource,
    user: User,
  ): Promise<void> {
    const namespace = resource.namespaced ? request.namespace : undefined;
    const call: Call = { exchange, request, resource, user, namespace };
    if (request.subresource !== undefined) {
      if (!hasSubresource(resource, request.subresource)) throw noSuchPath();
      return this.serveSubresource(call, request.subresource);
    }
    if (!resource.verbs.includes(request.verb)) throw methodNotAllowed();
    if (
      resource.namespaced &&
      namespace === undefined &&
      request.verb !== 'list' &&
      request.verb !== 'watch'
    ) {
      // A POST to the cluster-wide path of a namespaced resource.
      throw request.name === undefined ? methodNotAllowed() : noSuchPath();
    }
    const { store } = this.parts;
    switch (request.verb) {
      case 'get':
        return this.answer(call, 200, this.live(call));
      case 'list': {
        const page = listPage(store, resource, namespace, request.name, exchange.url.searchParams);
        const text = listText(this.representation(call), page.objects, page.metadata);
        return exchange.send(200, text, { 'content-type': 'application/json' });
      }
      case 'watch':
        return serveWatch(exchange, { ...this.representation(call), store, namespace, name: request.name });
      case 'create':
        return this.create(call);
      case 'update':
        return this.update(call);
      case 'patch':
        return this.patch(call);
      case 'delete':
        return this.delete(call);
      case 'deletecollection':
        return this.deleteCollection(call);
    }
  }

  private async serveSubresource(call: Call, subresource: string): Promise<void> {
    const { verb } = call.request;
    switch (subresource) {
      case 'status':
      case 'approval':
        if (verb === 'get') return this.answer(call, 200, this.live(call));
        if (verb === 'update') return this.update(call);
        if (verb === 'patch') return this.patch(call);
        throw methodNotAllowed();
      case 'scale':
        return this.scale(call);
      case 'token':
        return this.token(call);
      case 'binding':
        return this.binding(call);
      case 'eviction':
        return this.eviction(call);
      case 'finalize':
        return this.finalize(call);
      default:
        throw methodNotAllowed();
    }
  }

  private async create(call: Call): Promise<void> {
    const { exchange, resource, user, namespace } = call;
    const decoded = await this.readObject(call);
    const review = this.parts.reviews.answer(resource, namespace, user, decoded.object);
    if (review !== undefined) return exchange.json(201, review);
    await this.written(
      call,
      await this.parts.writer.create(this.writeRequest(call, decoded.duplicateFields), decoded.object, false),
    );
  }

  private async update(call: Call): Promise<void> {
    const { object, duplicateFields } = await this.readObject(call);
    const name = nameOf(call);
    const result = await this.parts.writer.update(
      this.writeRequest(call, duplicateFields),
      name,
      () => ({ object, managed: false }),
      { requireVersion: true },
    );
    await this.written(call, result);
  }

  private async patch(call: Call): Promise<void> {
    const { exchange, resource } = call;
    const patchKind = patchKindOf(exchange.headers['content-type'], resource.custom !== undefined);
    const patch = decodePatch(patchKind, await exchange.body());
    const request = this.writeRequest(call, patch.duplicateFields);
    const force = exchange.url.searchParams.get('force') === 'true';
    if (patchKind === 'apply' && (exchange.url.searchParams.get('fieldManager') ?? '') === '') {
      throw badRequest(
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
      );
    }
    const result = await patchObject(this.parts.writer, this.parts.store, this.parts.now, {
      ...request,
      name: nameOf(call),
      patchKind,
      patch,
      force,
    });
    await this.written(call, result);
  }

  private async delete(call: Call): Promise<void> {
    const { exchange, resource, namespace, user } = call;
    const options = deleteOptionsOf(await this.readOptions(call), exchange.url.searchParams);
    const result = await this.parts.deleter.delete(
      resource,
      namespace,
      nameOf(call),
      user,
      options,
      exchange.warnings,
    );
    await this.parts.store.durable();
    exchange.json(200, result);
  }

  private async deleteCollection(call: Call): Promise<void> {
    const { exchange, resource, namespace, user } = call;
    const options = deleteOptionsOf(await this.readOptions(call), exchange.url.searchParams);
    const page = listPage(this.parts.store, resource, namespace, undefined, exchange.url.searchParams);
    for (const { metadata } of page.objects) {
      try {
        await this.parts.deleter.delete(
          resource,
          metadata.namespace,
          metadata.name,
          user,
          options,
          exchange.warnings,
        );
      } catch (error) {
        // Somebody else deleted it first, which is what was asked for.
        if (!ApiError.is(error) || error.code !== 404) throw error;
      }
    }
    await this.parts.store.durable();
    exchange.send(200, listText(this.representation(call), page.objects, page.metadata), {
      'content-type': 'application/json',
    });
  }

  private async scale(call: Call): Promise<void> {
    const { exchange, resource, request } = call;
    if (request.verb === 'get') return exchange.json(200, scaleOf(resource, this.live(call)));
    if (request.verb !== 'update' && request.verb !== 'patch') throw methodNotAllowed();
    const body = await exchange.body();
    const contentType = exchange.headers['content-type'];
    const result = await this.parts.writer.update(
      // The write is one to the object's own fields.
      { ...this.writeRequest(call, []), subresource: 'scale' },
      nameOf(call),
      (live) => {
        const before = scaleOf(resource, live);
        const scale =
          request.verb === 'update'
            ? requireObject(decodeObject(this.parts.catalog.registry, contentType, body).value)
            : patchedScale(resource, before, contentType, body);
        return { object: withScale(resource, live, scale), managed: false };
      },
      { requireVersion: false },
    );
    await this.parts.store.durable();
    exchange.json(200, scaleOf(resource, result.object));
  }

  private async token(call: Call): Promise<void> {
    const { object } = await this.readObject(call);
    const { store, tokens } = this.parts;
    call.exchange.json(
      201,
      createToken(store, tokens, call.resource, call.namespace ?? '', nameOf(call), object),
    );
  }

  private async binding(call: Call): Promise<void> {
    const { object } = await this.readObject(call);
    const status = bindPod(this.parts.store, call.resource, call.namespace ?? '', nameOf(call), object);
    await this.parts.store.durable();
    call.exchange.json(201, status);
  }

  private async eviction(call: Call): Promise<void> {
    const { object: eviction } = await this.readObject(call);
    const { exchange, resource, namespace, user } = call;
    const options = deleteOptionsOf(objectAt(eviction, 'deleteOptions') ?? {}, exchange.url.searchParams);
    takeDisruption(this.parts.store, this.live(call), options.dryRun);
    await this.parts.deleter.delete(resource, namespace, nameOf(call), user, options, exchange.warnings);
    await this.parts.store.durable();
    exchange.json(201, evictionStatus());
  }

  private async finalize(call: Call): Promise<void> {
    const { object: body } = await this.readObject(call);
    const { store } = this.parts;
    const live = this.live(call);
    const object = finalizedNamespace(live, body);
    if (object.metadata.resourceVersion !== live.metadata.resourceVersion) {
      throw conflict(call.resource, live.metadata.name, STALE_RESOURCE_VERSION);
    }
    const result = this.parts.writer.storeFinalized(call.resource, object);
    await store.durable();
    call.exchange.json(200, result);
  }

  private live(call: Call): ApiObject {
    const name = nameOf(call);
    const stored = this.parts.store.get(call.resource.collection, objectKey(call.namespace, name));
    if (stored === undefined) throw notFound(call.resource, name);
    return present(call.resource, stored);
  }

  private async written(call: Call, { object, created }: WriteResult): Promise<void> {
    await this.parts.store.durable();
    this.answer(call, created ? 201 : 200, object);
  }

  private answer(call: Call, status: number, object: ApiObject): void {
    call.exchange.send(status, objectText(this.representation(call), object), {
      'content-type': 'application/json',
    });
  }

  private representation({ exchange, resource }: Call): RepresentationOptions {
    return {
      resource,
      representation: negotiateRepresentation(exchange.headers.accept),
      includeObject: includeObjectOf(exchange.url.searchParams),
      now: this.parts.now(),
    };
  }

  private async readObject({
    exchange,
  }: Call): Promise<{ object: JsonObject; duplicateFields: readonly string[] }> {
    const body = await exchange.body();
    const { value, duplicateFields } = decodeObject(
      this.parts.catalog.registry,
      exchange.headers['content-type'],
      body,
    );
    return { object: requireObject(value), duplicateFields };
  }

  /** DeleteOptions; a DELETE usually has none. */
  private async readOptions({ exchange }: Call): Promise<JsonObject> {
    const body = await exchange.body();
    if (body.length === 0) return {};
    return requireObject(
      decodeObject(this.parts.catalog.registry, exchange.headers['content-type'], body).value,
    );
  }

  private writeRequest(call: Call, duplicateFields: readonly string[]): WriteRequest {
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
        fieldManager === ''
          ? (String(exchange.headers['user-agent'] ?? '').split('/')[0] ?? '')
          : fieldManager,
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
}

function nameOf({ request }: Call): string {
  if (request.name === undefined) throw badRequest('name must be provided');
  return request.name;
}

function patchedScale(
  resource: Resource,
  scale: JsonObject,
  contentType: string | undefined,
  body: Buffer,
): JsonObject {
  const kind = patchKindOf(contentType, true);
  const patch = decodePatch(kind, body);
  if (kind === 'apply') return { ...scale, spec: objectAt(requireObject(patch.value), 'spec') ?? {} };
  const result = patched(resource, kind, scale, patch);
  // Only a version the client wrote is a precondition.
  if (stringAt(result, 'metadata', 'resourceVersion') !== stringAt(scale, 'metadata', 'resourceVersion'))
    return result;
  return { ...result, metadata: {} };
}
