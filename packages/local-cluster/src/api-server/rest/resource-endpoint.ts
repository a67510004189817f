import { ApiError, badRequest, methodNotAllowed, noSuchPath } from '../api-error.ts';
import type { User } from '../auth/user.ts';
import type { HttpExchange } from '../http-exchange.ts';
import type { ApiObject, JsonObject } from '../object.ts';
import type { ResourceRequest } from '../request-info.ts';
import { hasSubresource, type Resource } from '../resource.ts';
import { liveObject, nameOf, readObject, writeRequestOf, type Call, type EndpointParts } from './call.ts';
import { deleteOptionsOf } from './deletion.ts';
import { listPage } from './list.ts';
import { negotiateRepresentation } from './media-types.ts';
import { patchObject } from './patch.ts';
import { includeObjectOf, listText, objectText, type RepresentationOptions } from './representation.ts';
import { decodeObject, decodePatch, patchKindOf, requireObject } from './request-body.ts';
import { SubresourceEndpoint } from './subresource-endpoint.ts';
import { serveWatch } from './watch.ts';
import type { WriteResult } from './write-request.ts';

/** Reads and writes of resources and their subresources; streams (log, exec…) are elsewhere. */
export class ResourceEndpoint {
  private readonly parts: EndpointParts;
  private readonly subresources: SubresourceEndpoint;

  constructor(parts: EndpointParts) {
    this.parts = parts;
    this.subresources = new SubresourceEndpoint(parts);
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
        return this.answer(call, 200, liveObject(this.parts, call));
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
        if (verb === 'get') return this.answer(call, 200, liveObject(this.parts, call));
        if (verb === 'update') return this.update(call);
        if (verb === 'patch') return this.patch(call);
        throw methodNotAllowed();
      default:
        return this.subresources.serve(call, subresource);
    }
  }

  private async create(call: Call): Promise<void> {
    const { exchange, resource, user, namespace } = call;
    const decoded = await readObject(this.parts, call);
    const review = this.parts.reviews.answer(resource, namespace, user, decoded.object);
    if (review !== undefined) return exchange.json(201, review);
    await this.written(
      call,
      await this.parts.writer.create(writeRequestOf(call, decoded.duplicateFields), decoded.object, false),
    );
  }

  private async update(call: Call): Promise<void> {
    const { object, duplicateFields } = await readObject(this.parts, call);
    const name = nameOf(call);
    const result = await this.parts.writer.update(
      writeRequestOf(call, duplicateFields),
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
    const request = writeRequestOf(call, patch.duplicateFields);
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

  /** DeleteOptions; a DELETE usually has none. */
  private async readOptions({ exchange }: Call): Promise<JsonObject> {
    const body = await exchange.body();
    if (body.length === 0) return {};
    return requireObject(
      decodeObject(this.parts.catalog.registry, exchange.headers['content-type'], body).value,
    );
  }
}
