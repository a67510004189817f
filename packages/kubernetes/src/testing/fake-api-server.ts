import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ClusterConnection } from '../connection.ts';
import type { KubernetesObject } from '../objects.ts';

interface StoredEvent {
  readonly version: number;
  readonly collection: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubernetesObject;
}
interface Watcher {
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly response: ServerResponse;
}
export interface RecordedRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/**
 * The part of the Kubernetes API that clients of this package rely on, in memory and over plain HTTP: CRUD with
 * resourceVersion preconditions, paged lists, watches from a version with bookmarks and 410, WatchList. For tests;
 * knows no schemas, RBAC or defaults.
 */
export class FakeApiServer {
  /** Whether `sendInitialEvents` works, is refused with 422, or is silently not understood. */
  watchList: 'supported' | 'refused' | 'ignored' = 'supported';
  /** Answers instead of the fake's own handling; return false to fall through. */
  intercept: ((request: RecordedRequest, response: ServerResponse) => boolean) | undefined;
  readonly requests: RecordedRequest[] = [];
  /** Watches stay open and say nothing more. */
  muted = false;
  private readonly server: Server;
  private readonly objects = new Map<string, KubernetesObject>();
  private readonly watchers = new Set<Watcher>();
  private events: StoredEvent[] = [];
  private version = 1_000;
  private compactedBefore = 0;

  private constructor() {
    this.server = createServer((request, response) => void this.serve(request, response));
  }

  static async start(): Promise<FakeApiServer> {
    const fake = new FakeApiServer();
    await fake.listen(0);
    return fake;
  }

  private listen(port: number): Promise<void> {
    return new Promise((resolve) => {
      this.server.listen(port, '127.0.0.1', resolve);
    });
  }

  get connection(): ClusterConnection {
    const { port } = this.server.address() as AddressInfo; // a TCP server that listens
    return { server: `http://127.0.0.1:${port}`, namespace: 'default', tls: {} };
  }

  get watchCount(): number {
    return this.watchers.size;
  }

  /** Creates or replaces, as if another client had done it. `collection`: `/api/v1/pods`. */
  put<T extends KubernetesObject>(collection: string, object: T): T {
    const key = storageKey(collection, object.metadata.namespace, object.metadata.name ?? '');
    const known = this.objects.get(key);
    const metadata = {
      uid: `uid-${this.version + 1}`,
      ...known?.metadata,
      ...object.metadata,
      resourceVersion: String(++this.version),
    };
    const stored = { ...object, metadata };
    this.objects.set(key, stored);
    this.emit({
      version: this.version,
      collection,
      type: known === undefined ? 'ADDED' : 'MODIFIED',
      object: stored,
    });
    return stored;
  }

  remove(collection: string, name: string, namespace?: string): void {
    const key = storageKey(collection, namespace, name);
    const known = this.objects.get(key);
    if (known === undefined) return;
    this.objects.delete(key);
    const object = { ...known, metadata: { ...known.metadata, resourceVersion: String(++this.version) } };
    this.emit({ version: this.version, collection, type: 'DELETED', object });
  }

  /** Forgets history: watches from older versions get 410. */
  compact(): void {
    this.compactedBefore = ++this.version;
    this.events = [];
  }

  /** Cuts every open watch, without an end of the HTTP message. */
  cutWatches(): void {
    for (const watcher of this.watchers) watcher.response.destroy();
  }

  bookmark(): void {
    for (const watcher of this.watchers) writeBookmark(watcher.response, ++this.version, false);
  }

  /** Writes raw bytes into every open watch. */
  inject(bytes: string): void {
    for (const watcher of this.watchers) watcher.response.write(bytes);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
  }

  private emit(event: StoredEvent): void {
    this.events.push(event);
    if (this.muted) return;
    for (const watcher of this.watchers) if (matches(watcher, event)) writeEvent(watcher.response, event);
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake');
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const recorded = { method: request.method ?? 'GET', url, headers: request.headers, body };
    this.requests.push(recorded);
    if (this.intercept?.(recorded, response) === true) return;
    const target = parsePath(url.pathname);
    if (target === undefined) return fail(response, 404, 'NotFound', `no such path ${url.pathname}`);
    const { collection, namespace, name } = target;
    if (name !== undefined)
      return this.serveObject(recorded, response, storageKey(collection, namespace, name), target);
    if (recorded.method === 'POST') {
      const object = JSON.parse(body) as KubernetesObject; // the test's own input
      const key = storageKey(collection, namespace, object.metadata.name ?? '');
      if (this.objects.has(key)) return fail(response, 409, 'AlreadyExists', `${key} exists`);
      return answer(response, 201, this.put(collection, object));
    }
    if (url.searchParams.get('watch') === 'true')
      return this.serveWatch(url, response, collection, namespace);
    this.serveList(url, response, collection, namespace);
  }

  private serveObject(
    { method, body, headers }: RecordedRequest,
    response: ServerResponse,
    key: string,
    { collection, namespace, name = '', subresource }: Target,
  ): void {
    const known = this.objects.get(key);
    const isApply = headers['content-type'] === 'application/apply-patch+yaml';
    // A status makes no object, as one that comes late would bring back what was deleted.
    if (known === undefined && !(method === 'PATCH' && isApply && subresource === undefined))
      return fail(response, 404, 'NotFound', `${key} not found`);
    switch (method) {
      case 'GET':
        return answer(response, 200, known);
      case 'PUT': {
        const object = JSON.parse(body) as KubernetesObject; // the test's own input
        const { resourceVersion } = object.metadata;
        if (resourceVersion !== undefined && resourceVersion !== known?.metadata.resourceVersion) {
          return fail(response, 409, 'Conflict', `${key} has changed`);
        }
        return answer(response, 200, this.put(collection, object));
      }
      case 'PATCH': {
        const patch = JSON.parse(body) as KubernetesObject; // the test's own input
        const base = known ?? { metadata: { name, ...(namespace === undefined ? {} : { namespace }) } };
        const merged = { ...base, ...patch, metadata: { ...base.metadata, ...patch.metadata } };
        return answer(response, 200, this.put(collection, merged));
      }
      default:
        this.remove(collection, name, namespace);
        return answer(response, 200, { kind: 'Status', status: 'Success' });
    }
  }

  private serveList(
    url: URL,
    response: ServerResponse,
    collection: string,
    namespace: string | undefined,
  ): void {
    const all = this.select(collection, namespace);
    const start = Number(url.searchParams.get('continue') ?? 0);
    const end = start + Number(url.searchParams.get('limit') ?? all.length);
    answer(response, 200, {
      kind: 'List',
      metadata: {
        resourceVersion: String(this.version),
        ...(end < all.length ? { continue: String(end) } : {}),
      },
      items: all.slice(start, end),
    });
  }

  private serveWatch(
    url: URL,
    response: ServerResponse,
    collection: string,
    namespace: string | undefined,
  ): void {
    const initial = url.searchParams.get('sendInitialEvents') === 'true';
    if (initial && this.watchList === 'refused') {
      return fail(response, 422, 'Invalid', 'sendInitialEvents is forbidden for watch');
    }
    const since = url.searchParams.get('resourceVersion');
    if (since !== null && Number(since) < this.compactedBefore) {
      return fail(response, 410, 'Expired', 'too old resource version');
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const watcher = { collection, namespace, response };
    if (since === null) {
      for (const object of this.select(collection, namespace))
        writeEvent(response, { type: 'ADDED', object });
      if (initial && this.watchList === 'supported') writeBookmark(response, this.version, true);
    } else {
      for (const event of this.events) {
        if (event.version > Number(since) && matches(watcher, event)) writeEvent(response, event);
      }
    }
    this.watchers.add(watcher);
    response.on('close', () => this.watchers.delete(watcher));
  }

  private select(collection: string, namespace: string | undefined): KubernetesObject[] {
    const prefix = storageKey(collection, namespace, '');
    return [...this.objects].filter(([key]) => key.startsWith(prefix)).map(([, object]) => object);
  }
}

interface Target {
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** `/apis/g/v[/namespaces/ns]/plural[/name[/subresource]]`; subresources act on the object itself. */
function parsePath(path: string): Target | undefined {
  const found =
    /^(\/api\/[^/]+|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+)(?=\/[a-z]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(
      path,
    );
  if (found === null) return undefined;
  const [, prefix, namespace, plural, name, subresource] = found;
  return { collection: `${prefix}/${plural}`, namespace, name, subresource };
}

function storageKey(collection: string, namespace: string | undefined, name: string): string {
  return namespace === undefined && name === ''
    ? `${collection}|`
    : `${collection}|${namespace ?? ''}|${name}`;
}

function matches(watcher: Watcher, event: StoredEvent): boolean {
  return (
    event.collection === watcher.collection &&
    (watcher.namespace === undefined || watcher.namespace === event.object.metadata.namespace)
  );
}

function writeEvent(response: ServerResponse, { type, object }: Pick<StoredEvent, 'type' | 'object'>): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

function writeBookmark(response: ServerResponse, version: number, initialEventsEnd: boolean): void {
  const annotations = initialEventsEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {};
  const object = { kind: 'Bookmark', metadata: { resourceVersion: String(version), ...annotations } };
  response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function fail(response: ServerResponse, code: number, reason: string, message: string): void {
  answer(response, code, { kind: 'Status', status: 'Failure', code, reason, message });
}
