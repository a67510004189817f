import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { describeError, type Logger } from '@weft/telemetry';
import {
  ApiError,
  badRequest,
  forbidden,
  internalError,
  noSuchPath,
  tooManyRequests,
  unavailable,
} from './api-error.ts';
import type { Authenticator } from './auth/authenticator.ts';
import { impersonate } from './auth/impersonation.ts';
import { denialMessage, type AccessRequest, type RbacAuthorizer } from './auth/rbac.ts';
import type { User } from './auth/user.ts';
import { HttpExchange, type HttpRequest, type HttpResponse } from './http-exchange.ts';
import type { PathEndpoint } from './path-endpoint.ts';
import { authorizedName, parseRequest, type RequestInfo, type ResourceRequest } from './request-info.ts';
import type { Resource, ResourceCatalog } from './resource.ts';
import type { ResourceEndpoint } from './rest/resource-endpoint.ts';
import type { StreamEndpoint } from './streams/stream-endpoint.ts';

/** Requests being answered at once, watches and streams aside; more are told to come back. */
const MAX_REQUESTS_IN_FLIGHT = 600;

interface Parts {
  readonly authenticator: Authenticator;
  readonly authorizer: RbacAuthorizer;
  readonly catalog: ResourceCatalog;
  readonly paths: PathEndpoint;
  readonly resources: ResourceEndpoint;
  readonly streams: StreamEndpoint;
  readonly logger: Logger;
}

/** Who asks, may they, and which endpoint answers. */
export class RequestHandler {
  private readonly parts: Parts;
  private inFlight = 0;

  constructor(parts: Parts) {
    this.parts = parts;
  }

  /** `handler` is undefined while the server starts. */
  static async serve(
    handler: RequestHandler | undefined,
    request: HttpRequest,
    response: HttpResponse,
  ): Promise<void> {
    response.on('error', () => undefined); // the client is gone; `close` follows
    const exchange = new HttpExchange(request, response);
    if (handler === undefined) {
      exchange.error(unavailable('the API server is starting'));
      return;
    }
    await handler.guarded(exchange, () => handler.dispatch(exchange, request.socket as TLSSocket)); // only TLS servers use this
  }

  /** An upgrade (WebSocket or SPDY) over HTTP/1.1. */
  static async serveUpgrade(
    handler: RequestHandler | undefined,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> {
    socket.on('error', () => socket.destroy());
    try {
      if (handler === undefined) throw unavailable('the API server is starting');
      const { info, user, url } = handler.admit(request, socket as TLSSocket); // only TLS servers use this
      if (info.kind !== 'resource') throw noSuchPath();
      // A GET upgrades a WebSocket, but it does what a POST does, so both are asked for.
      handler.authorizeResource(user, { ...info, verb: 'create' }, url);
      const resource = handler.resourceOf(info);
      await handler.parts.streams.upgrade({ request, socket, head, url, info, resource });
    } catch (error) {
      refuseUpgrade(socket, handler?.errorOf(error) ?? unavailable('the API server is starting'));
    }
  }

  private async guarded(exchange: HttpExchange, work: () => Promise<void> | void): Promise<void> {
    if (this.inFlight >= MAX_REQUESTS_IN_FLIGHT) {
      exchange.error(tooManyRequests('too many requests, please try again later'));
      return;
    }
    this.inFlight += 1;
    try {
      await work();
    } catch (error) {
      if (exchange.answered) exchange.destroy();
      else exchange.error(this.errorOf(error));
    } finally {
      this.inFlight -= 1;
    }
  }

  private async dispatch(exchange: HttpExchange, socket: TLSSocket): Promise<void> {
    const { info, user } = this.admit(exchange, socket);
    if (info.kind === 'path') return this.parts.paths.serve(exchange);
    const resource = this.resourceOf(info);
    if (info.subresource === 'log' && resource.collection === 'pods') {
      return this.parts.streams.logs(exchange, info, resource);
    }
    return this.parts.resources.serve(exchange, info, resource, user);
  }

  private admit(
    request: {
      readonly method?: string | undefined;
      readonly headers: IncomingMessage['headers'];
      readonly url?: URL | string | undefined;
    },
    socket: TLSSocket,
  ): { info: RequestInfo; user: User; url: URL } {
    const url = request.url instanceof URL ? request.url : new URL(request.url ?? '/', 'https://kubernetes');
    const info = parseRequest(request.method ?? 'GET', url);
    if (info === undefined) throw badRequest('the path is not valid');
    const sender = this.parts.authenticator.authenticate(socket, request.headers);
    const user = impersonate(this.parts.authorizer, sender, request.headers);
    if (info.kind === 'resource') this.authorizeResource(user, info, url);
    else this.authorizePath(user, { kind: 'path', verb: info.verb, path: info.path });
    return { info, user, url };
  }

  private authorizeResource(user: User, info: ResourceRequest, url: URL): void {
    const question: AccessRequest = {
      kind: 'resource',
      verb: info.verb,
      group: info.group,
      resource: info.subresource === undefined ? info.plural : `${info.plural}/${info.subresource}`,
      namespace: info.namespace,
      name: authorizedName(info, url),
    };
    const decision = this.parts.authorizer.authorize(user, question);
    if (decision.allowed) return;
    const resource = { group: info.group, plural: info.plural, kind: info.plural };
    throw forbidden(resource, info.name ?? '', denialMessage(user, question, decision.reason));
  }

  private authorizePath(user: User, question: AccessRequest & { kind: 'path' }): void {
    const decision = this.parts.authorizer.authorize(user, question);
    if (decision.allowed) return;
    const why = denialMessage(user, question, decision.reason);
    throw new ApiError(403, 'Forbidden', `forbidden: ${why}`, {});
  }

  private resourceOf({ group, version, plural }: ResourceRequest): Resource {
    const resource = this.parts.catalog.find(group, version, plural);
    if (resource === undefined) throw noSuchPath();
    return resource;
  }

  private errorOf(error: unknown): ApiError {
    if (ApiError.is(error)) return error;
    const description = describeError(error);
    this.parts.logger.error('request failed', { error: description, stack: stackOf(error) });
    return internalError(description);
  }
}

function stackOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'stack' in error ? String(error.stack) : undefined;
}

/** The status line and body are written by hand: an upgrade has no response object. */
function refuseUpgrade(socket: Duplex, error: ApiError): void {
  if (socket.destroyed) return;
  const body = JSON.stringify(error.toStatus());
  socket.end(
    `HTTP/1.1 ${error.code} ${error.reason}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
