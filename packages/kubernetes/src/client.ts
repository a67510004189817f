import type { Clock } from '@weft/telemetry';
import { WeftError } from '@weft/telemetry';
import type { ClusterConnection } from './connection.ts';
import { isExpired } from './errors.ts';
import type { KubernetesList, KubernetesObject, TokenRequestStatus, TokenReviewStatus } from './objects.ts';
import { apiVersionOf, resourcePath, resources, type ResourceType } from './resources.ts';
import { ApiTransport, type ApiRequest, type HttpMethod, type Query } from './transport.ts';
import { watchEvents, type WatchEvent } from './watch-stream.ts';

interface Abortable {
  readonly signal?: AbortSignal | undefined;
}
export interface Selection extends Abortable {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}
export interface WriteOptions extends Abortable {
  readonly subresource?: string | undefined;
  readonly fieldManager?: string | undefined;
  readonly dryRun?: boolean | undefined;
}
export interface ApplyOptions extends WriteOptions {
  readonly fieldManager: string;
  readonly force?: boolean | undefined;
}
export interface DeleteOptions extends Abortable {
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan' | undefined;
  readonly gracePeriodSeconds?: number | undefined;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string } | undefined;
}
export interface WatchOptions extends Selection {
  /** Changes after this version; without it the stream starts with an ADDED event per existing object. */
  readonly resourceVersion?: string | undefined;
  /** The stream begins with every existing object and then a bookmark with `initialEventsEnd`. */
  readonly sendInitialEvents?: boolean | undefined;
  /** After which the server ends the stream. */
  readonly timeoutSeconds?: number | undefined;
}
export type PatchKind = 'merge' | 'json' | 'strategic';

const patchContentType: Readonly<Record<PatchKind | 'apply', string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

/** Objects per page of a list, as client-go asks for. */
const LIST_PAGE_SIZE = 500;
/** A list whose continue token expires in mid-way starts again, this often at most. */
const MAX_LIST_RESTARTS = 3;

/** Typed requests to one Kubernetes API server. Every method throws KubernetesError, WEFT1010 or WEFT1015. */
export class KubernetesClient {
  readonly connection: ClusterConnection;
  private readonly transport: ApiTransport;

  constructor(connection: ClusterConnection, o: { readonly clock?: Clock } = {}) {
    this.connection = connection;
    this.transport = new ApiTransport(connection, o.clock);
  }

  get<T extends KubernetesObject>(
    type: ResourceType<T>,
    name: string,
    namespace?: string,
    o: Abortable & { readonly subresource?: string } = {},
  ): Promise<T> {
    return this.request<T>({
      method: 'GET',
      path: resourcePath(type, { namespace, name, subresource: o.subresource }),
      signal: o.signal,
    });
  }

  /** All pages as one list, its items completed with apiVersion and kind, which servers leave out. */
  async list<T extends KubernetesObject>(
    type: ResourceType<T>,
    o: Selection = {},
  ): Promise<KubernetesList<T>> {
    for (let restart = 0; ; restart++) {
      try {
        return await this.listPages(type, o);
      } catch (error) {
        if (!isExpired(error) || restart >= MAX_LIST_RESTARTS) throw error;
      }
    }
  }

  private async listPages<T extends KubernetesObject>(
    type: ResourceType<T>,
    o: Selection,
  ): Promise<KubernetesList<T>> {
    const identity = { apiVersion: apiVersionOf(type), kind: type.kind };
    const items: T[] = [];
    let next: string | undefined;
    for (;;) {
      const page: KubernetesList<T> = await this.request({
        method: 'GET',
        path: resourcePath(type, { namespace: o.namespace }),
        query: {
          labelSelector: o.labelSelector,
          fieldSelector: o.fieldSelector,
          limit: LIST_PAGE_SIZE,
          continue: next,
        },
        signal: o.signal,
      });
      if (!Array.isArray(page.items))
        throw new WeftError('WEFT1015', `the list of ${type.plural} has no items`);
      for (const item of page.items) items.push({ ...identity, ...item });
      next = page.metadata.continue;
      if (next === undefined || next === '') return { metadata: page.metadata, items };
    }
  }

  /** The version of a collection as it is now, at the price of one object. */
  async version(type: ResourceType, o: Selection = {}): Promise<string> {
    const page: KubernetesList<KubernetesObject> = await this.request({
      method: 'GET',
      path: resourcePath(type, { namespace: o.namespace }),
      query: { labelSelector: o.labelSelector, fieldSelector: o.fieldSelector, limit: 1 },
      signal: o.signal,
    });
    return page.metadata?.resourceVersion ?? '';
  }

  /** Changes as they come. The iteration ends when the server ends the stream or the signal aborts. */
  async *watch<T extends KubernetesObject>(
    type: ResourceType<T>,
    o: WatchOptions = {},
  ): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const response = await this.transport.open({
      method: 'GET',
      path: resourcePath(type, { namespace: o.namespace }),
      query: {
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: o.resourceVersion,
        labelSelector: o.labelSelector,
        fieldSelector: o.fieldSelector,
        timeoutSeconds: o.timeoutSeconds,
        ...(o.sendInitialEvents === true
          ? { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' }
          : {}),
      },
      signal: o.signal,
      streaming: true,
    });
    try {
      yield* watchEvents<T>(response);
    } finally {
      response.destroy();
    }
  }

  create<T extends KubernetesObject>(type: ResourceType<T>, object: T, o: WriteOptions = {}): Promise<T> {
    const { namespace, name } = object.metadata;
    const target =
      o.subresource === undefined ? { namespace } : { namespace, name, subresource: o.subresource };
    return this.write(type, 'POST', resourcePath(type, target), object, o);
  }

  /** Conflicts (409) when the object carries a resourceVersion that is no longer the latest. */
  replace<T extends KubernetesObject>(type: ResourceType<T>, object: T, o: WriteOptions = {}): Promise<T> {
    const { namespace, name = '' } = object.metadata;
    return this.write(
      type,
      'PUT',
      resourcePath(type, { namespace, name, subresource: o.subresource }),
      object,
      o,
    );
  }

  replaceStatus<T extends KubernetesObject>(
    type: ResourceType<T>,
    object: T,
    o: WriteOptions = {},
  ): Promise<T> {
    return this.replace(type, object, { ...o, subresource: 'status' });
  }

  patch<T extends KubernetesObject>(
    type: ResourceType<T>,
    name: string,
    namespace: string | undefined,
    body: unknown,
    kind: PatchKind = 'merge',
    o: WriteOptions = {},
  ): Promise<T> {
    return this.request<T>({
      method: 'PATCH',
      path: resourcePath(type, { namespace, name, subresource: o.subresource }),
      query: writeQuery(o),
      body,
      contentType: patchContentType[kind],
      signal: o.signal,
    });
  }

  /** Server-side apply: the object holds exactly the fields that the manager owns. Must not carry managedFields. */
  apply<T extends KubernetesObject>(type: ResourceType<T>, object: T, o: ApplyOptions): Promise<T> {
    const { namespace, name = '' } = object.metadata;
    return this.request<T>({
      method: 'PATCH',
      path: resourcePath(type, { namespace, name, subresource: o.subresource }),
      query: { ...writeQuery(o), force: o.force === true ? true : undefined },
      body: identified(type, object),
      contentType: patchContentType.apply,
      signal: o.signal,
    });
  }

  /** The answer is the object while finalizers or a grace period hold it, else a Status. */
  async delete(type: ResourceType, name: string, namespace?: string, o: DeleteOptions = {}): Promise<void> {
    await this.request({
      method: 'DELETE',
      path: resourcePath(type, { namespace, name }),
      body: {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        ...(o.propagationPolicy === undefined ? {} : { propagationPolicy: o.propagationPolicy }),
        ...(o.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: o.gracePeriodSeconds }),
        ...(o.preconditions === undefined ? {} : { preconditions: o.preconditions }),
      },
      signal: o.signal,
    });
  }

  /** A token of the service account, by TokenRequest. `boundPod` ties it to that pod's life. */
  async createToken(
    serviceAccount: string,
    namespace: string,
    o: Abortable & {
      readonly audiences?: readonly string[];
      readonly expirationSeconds?: number;
      readonly boundPod?: { readonly name: string; readonly uid: string };
    } = {},
  ): Promise<TokenRequestStatus> {
    const answer = await this.request<{ readonly status?: Partial<TokenRequestStatus> }>({
      method: 'POST',
      path: resourcePath(resources.serviceAccounts, {
        namespace,
        name: serviceAccount,
        subresource: 'token',
      }),
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          audiences: o.audiences ?? [],
          ...(o.expirationSeconds === undefined ? {} : { expirationSeconds: o.expirationSeconds }),
          ...(o.boundPod === undefined
            ? {}
            : { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', ...o.boundPod } }),
        },
      },
      signal: o.signal,
    });
    const { token, expirationTimestamp } = answer.status ?? {};
    if (token === undefined || expirationTimestamp === undefined) {
      throw new WeftError(
        'WEFT1015',
        `the TokenRequest for ${namespace}/${serviceAccount} was answered without a token`,
      );
    }
    return { token, expirationTimestamp };
  }

  /** Whom the API server takes the bearer for. Not authenticated is an answer, not an error. */
  async reviewToken(
    token: string,
    audiences: readonly string[] = [],
    o: Abortable = {},
  ): Promise<TokenReviewStatus> {
    const answer = await this.request<{ readonly status?: TokenReviewStatus }>({
      method: 'POST',
      path: resourcePath(resources.tokenReviews),
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences } },
      signal: o.signal,
    });
    return answer.status ?? {};
  }

  /** Any path of the API server; the answer is parsed as JSON, and its shape is the caller's claim. */
  async request<T = unknown>(request: ApiRequest): Promise<T> {
    const body = await this.transport.send(request);
    try {
      return JSON.parse(body.toString('utf8')) as T; // the API server's contract for the path
    } catch (error) {
      throw new WeftError('WEFT1015', `${request.method} ${request.path}: the answer is not JSON`, {
        cause: error,
      });
    }
  }

  /** Any path whose answer is text, such as a pod's log. */
  async requestText(
    path: string,
    o: Abortable & { readonly query?: Query; readonly method?: HttpMethod } = {},
  ): Promise<string> {
    const { method = 'GET', query = {}, signal } = o;
    return (await this.transport.send({ method, path, query, signal, accept: '*/*' })).toString('utf8');
  }

  /** Closes idle connections. */
  close(): void {
    this.transport.close();
  }

  private write<T extends KubernetesObject>(
    type: ResourceType<T>,
    method: 'POST' | 'PUT',
    path: string,
    object: T,
    o: WriteOptions,
  ): Promise<T> {
    return this.request<T>({
      method,
      path,
      query: writeQuery(o),
      body: identified(type, object),
      signal: o.signal,
    });
  }
}

function identified<T extends KubernetesObject>(type: ResourceType<T>, object: T): T {
  return { apiVersion: apiVersionOf(type), kind: type.kind, ...object };
}

function writeQuery(o: WriteOptions): Query {
  return { fieldManager: o.fieldManager, dryRun: o.dryRun === true ? 'All' : undefined };
}
