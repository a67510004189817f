import { conflict, methodNotAllowed, STALE_RESOURCE_VERSION } from '../api-error.ts';
import { objectAt, stringAt, type JsonObject } from '../object.ts';
import type { Resource } from '../resource.ts';
import { liveObject, nameOf, readObject, writeRequestOf, type Call, type EndpointParts } from './call.ts';
import { deleteOptionsOf } from './deletion.ts';
import { patched } from './patch.ts';
import { decodeObject, decodePatch, patchKindOf, requireObject } from './request-body.ts';
import {
  bindPod,
  createToken,
  evictionStatus,
  finalizedNamespace,
  scaleOf,
  takeDisruption,
  withScale,
} from './subresources.ts';

/** Subresources that are not a part of the object as it is stored: scale, token, binding, eviction, finalize. */
export class SubresourceEndpoint {
  private readonly parts: EndpointParts;

  constructor(parts: EndpointParts) {
    this.parts = parts;
  }

  async serve(call: Call, subresource: string): Promise<void> {
    switch (subresource) {
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

  private async scale(call: Call): Promise<void> {
    const { exchange, resource, request } = call;
    if (request.verb === 'get') return exchange.json(200, scaleOf(resource, liveObject(this.parts, call)));
    if (request.verb !== 'update' && request.verb !== 'patch') throw methodNotAllowed();
    const body = await exchange.body();
    const contentType = exchange.headers['content-type'];
    const result = await this.parts.writer.update(
      // The write is one to the object's own fields.
      { ...writeRequestOf(call, []), subresource: 'scale' },
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
    const { object } = await readObject(this.parts, call);
    const { store, tokens } = this.parts;
    call.exchange.json(
      201,
      createToken(store, tokens, call.resource, call.namespace ?? '', nameOf(call), object),
    );
  }

  private async binding(call: Call): Promise<void> {
    const { object } = await readObject(this.parts, call);
    const status = bindPod(this.parts.store, call.resource, call.namespace ?? '', nameOf(call), object);
    await this.parts.store.durable();
    call.exchange.json(201, status);
  }

  private async eviction(call: Call): Promise<void> {
    const { object: eviction } = await readObject(this.parts, call);
    const { exchange, resource, namespace, user } = call;
    const options = deleteOptionsOf(objectAt(eviction, 'deleteOptions') ?? {}, exchange.url.searchParams);
    takeDisruption(this.parts.store, liveObject(this.parts, call), options.dryRun);
    await this.parts.deleter.delete(resource, namespace, nameOf(call), user, options, exchange.warnings);
    await this.parts.store.durable();
    exchange.json(201, evictionStatus());
  }

  private async finalize(call: Call): Promise<void> {
    const { object: body } = await readObject(this.parts, call);
    const { store } = this.parts;
    const live = liveObject(this.parts, call);
    const object = finalizedNamespace(live, body);
    if (object.metadata.resourceVersion !== live.metadata.resourceVersion) {
      throw conflict(call.resource, live.metadata.name, STALE_RESOURCE_VERSION);
    }
    const result = this.parts.writer.storeFinalized(call.resource, object);
    await store.durable();
    call.exchange.json(200, result);
  }
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
