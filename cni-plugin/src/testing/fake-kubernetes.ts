import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { KubernetesObject, Namespace, Pod } from '@weft/kubernetes';

interface StoredEvent {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubernetesObject;
}

interface Watch {
  readonly collection: string;
  readonly response: ServerResponse;
}

/** As much of an API server as the node agent and the plugin use: pods, namespaces, and events that go nowhere. */
export class FakeKubernetes {
  private readonly objects = {
    pods: new Map<string, KubernetesObject>(),
    namespaces: new Map<string, KubernetesObject>(),
  };
  private readonly history = { pods: [] as StoredEvent[], namespaces: [] as StoredEvent[] };
  private readonly watches = new Set<Watch>();
  private readonly server = createServer((request, response) => void this.answer(request, response));
  private version = 1;

  /** The port that it listens on. */
  async listen(): Promise<number> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening on TCP');
    return address.port;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  pod(name: string): Pod | undefined {
    return this.objects.pods.get(name);
  }

  putPod(pod: Pod): void {
    this.put('pods', pod.metadata.name ?? '', pod);
  }

  deletePod(name: string): void {
    const object = this.objects.pods.get(name);
    if (object === undefined) return;
    this.objects.pods.delete(name);
    this.record('pods', 'DELETED', object);
  }

  putNamespace(namespace: Namespace): void {
    this.put('namespaces', namespace.metadata.name ?? '', namespace);
  }

  private put(collection: 'pods' | 'namespaces', name: string, object: KubernetesObject): void {
    const type = this.objects[collection].has(name) ? 'MODIFIED' : 'ADDED';
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.version) } };
    this.objects[collection].set(name, stored);
    this.record(collection, type, stored);
  }

  private record(
    collection: 'pods' | 'namespaces',
    type: StoredEvent['type'],
    object: KubernetesObject,
  ): void {
    const metadata = { ...object.metadata, resourceVersion: String(++this.version) };
    const event: StoredEvent = { version: this.version, type, object: { ...object, metadata } };
    this.history[collection].push(event);
    for (const watch of this.watches) if (watch.collection === collection) writeEvent(watch.response, event);
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake');
    const parts = url.pathname.split('/').slice(3);
    const json = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    const missing = (): void =>
      json(404, { kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404 });
    const [first, namespace, kind, name] = parts;
    if (request.method === 'GET' && parts.length === 1 && (first === 'pods' || first === 'namespaces'))
      return this.watchOrList(first, url, response, json);
    if (first !== 'namespaces' || namespace === undefined) return missing();
    if (kind === 'events') return json(201, {});
    const object =
      kind === 'pods' ? this.objects.pods.get(name ?? '') : this.objects.namespaces.get(namespace);
    if (object === undefined) return missing();
    if (request.method === 'PATCH') {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer); // node:http yields Buffers
      this.patch(name ?? '', object, JSON.parse(Buffer.concat(chunks).toString('utf8')) as Pod); // from our client
    }
    json(200, (kind === 'pods' ? this.objects.pods.get(name ?? '') : undefined) ?? object);
  }

  private watchOrList(
    collection: 'pods' | 'namespaces',
    url: URL,
    response: ServerResponse,
    json: (status: number, body: unknown) => void,
  ): void {
    const items = [...this.objects[collection].values()];
    const resourceVersion = String(this.version);
    if (url.searchParams.get('watch') !== 'true') return json(200, { metadata: { resourceVersion }, items });
    response.writeHead(200, { 'content-type': 'application/json' });
    if (url.searchParams.get('sendInitialEvents') === 'true') {
      for (const object of items) writeEvent(response, { version: 0, type: 'ADDED', object });
      const metadata = { resourceVersion, annotations: { 'k8s.io/initial-events-end': 'true' } };
      response.write(`${JSON.stringify({ type: 'BOOKMARK', object: { metadata } })}\n`);
    } else {
      const since = Number(url.searchParams.get('resourceVersion') ?? 0);
      for (const event of this.history[collection]) if (event.version > since) writeEvent(response, event);
    }
    const watch = { collection, response };
    this.watches.add(watch);
    response.on('close', () => this.watches.delete(watch));
  }

  /** Annotations, of which null takes one away, and conditions, merged by type. */
  private patch(name: string, pod: Pod, body: Pod): void {
    if (body.metadata.uid !== undefined && body.metadata.uid !== pod.metadata.uid) return;
    const annotations = Object.fromEntries(
      Object.entries({ ...pod.metadata.annotations, ...body.metadata.annotations }).filter(
        ([, value]: readonly [string, string | null]) => value !== null,
      ),
    );
    const changed = body.status?.conditions ?? [];
    const kept = (pod.status?.conditions ?? []).filter(({ type }) => !changed.some((c) => c.type === type));
    const conditions = [...kept, ...changed.filter((c) => !('$patch' in c))];
    this.put('pods', name, {
      ...pod,
      metadata: { ...pod.metadata, annotations },
      status: { ...pod.status, conditions },
    } as Pod);
  }
}

function writeEvent(response: ServerResponse, { type, object }: StoredEvent): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}
