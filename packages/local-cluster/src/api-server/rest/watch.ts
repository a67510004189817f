import { badRequest, expired, ApiError } from '../api-error.ts';
import type { BodyStream, HttpExchange } from '../http-exchange.ts';
import type { ApiObject, JsonObject } from '../object.ts';
import type { Resource } from '../resource.ts';
import { objectFilter, type ObjectFilter } from '../selectors.ts';
import type { Store, StoreEvent } from '../store/store.ts';
import { checkResourceVersion, parseResourceVersion } from './list.ts';
import { jsonText, objectText, present, table, type RepresentationOptions } from './representation.ts';

const BOOKMARK_INTERVAL_MS = 60_000;
/** Without `timeoutSeconds` a watch ends after 30 to 60 minutes, spread so that clients don't return at once. */
const DEFAULT_TIMEOUT_MS = 30 * 60_000;

interface WatchOptions extends RepresentationOptions {
  readonly store: Store;
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

/** Serves a watch until its time is over or the client leaves. */
export function serveWatch(exchange: HttpExchange, options: WatchOptions): void {
  const { store, resource } = options;
  const parameters = exchange.url.searchParams;
  const matches = scopeFilter(options, objectFilter(resource, parameters));
  const sendInitialEvents = booleanParameter(parameters, 'sendInitialEvents');
  if (sendInitialEvents === true && parameters.get('resourceVersionMatch') !== 'NotOlderThan') {
    throw new ApiError(
      422,
      'Invalid',
      'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
      {},
    );
  }
  if (sendInitialEvents === undefined && (parameters.get('resourceVersionMatch') ?? '') !== '') {
    throw badRequest('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');
  }
  checkResourceVersion(
    store,
    new URLSearchParams({ resourceVersion: parameters.get('resourceVersion') ?? '' }),
  );
  const requested = parseResourceVersion(parameters.get('resourceVersion') ?? '');
  const fromState = sendInitialEvents ?? requested === 0;
  const since = fromState || requested === 0 ? store.revision : requested;

  const body = exchange.stream('application/json');
  const encoder = new EventEncoder(options);
  const send = (event: StoreEvent) => {
    const line = lineFor(encoder, resource, matches, event);
    if (line !== undefined) body.write(line);
  };
  const started = store.watch(resource.collection, since, send);
  if (started.kind === 'too-old') {
    body.write(errorLine(expired(`too old resource version: ${requested} (${started.oldest})`)));
    body.end();
    return;
  }
  if (fromState) {
    for (const stored of store.list(resource.collection, options.namespace)) {
      if (matches(stored)) body.write(encoder.encode('ADDED', present(resource, stored)));
    }
  }
  for (const event of started.missed) send(event);
  const bookmarks = booleanParameter(parameters, 'allowWatchBookmarks') === true;
  if (sendInitialEvents === true && bookmarks) body.write(encoder.bookmark(store.revision, true));
  keepOpen(exchange, body, parameters, started.stop, () => {
    if (bookmarks) body.write(encoder.bookmark(store.revision, false));
  });
}

function keepOpen(
  exchange: HttpExchange,
  body: BodyStream,
  parameters: URLSearchParams,
  stop: () => void,
  bookmark: () => void,
): void {
  const seconds = Number(parameters.get('timeoutSeconds') ?? 0);
  const timeoutMs = seconds > 0 ? seconds * 1000 : DEFAULT_TIMEOUT_MS * (1 + Math.random());
  const bookmarkTimer = setInterval(bookmark, BOOKMARK_INTERVAL_MS);
  const timeoutTimer = setTimeout(() => {
    bookmark();
    body.end();
  }, timeoutMs);
  exchange.signal.addEventListener('abort', () => {
    clearInterval(bookmarkTimer);
    clearTimeout(timeoutTimer);
    stop();
  });
}

function scopeFilter(options: WatchOptions, selected: ObjectFilter | undefined): ObjectFilter {
  const { resource, namespace, name } = options;
  return (stored) =>
    (namespace === undefined || !resource.namespaced || stored.metadata.namespace === namespace) &&
    (name === undefined || stored.metadata.name === name) &&
    (selected === undefined || selected(stored));
}

/** An object that stops matching the selectors is deleted as far as this watcher can tell. */
function lineFor(
  encoder: EventEncoder,
  resource: Resource,
  matches: ObjectFilter,
  event: StoreEvent,
): string | undefined {
  const before = event.previous !== undefined && matches(event.previous);
  const after = event.type !== 'DELETED' && matches(event.object);
  if (!before && !after) return undefined;
  const type = after ? (before ? 'MODIFIED' : 'ADDED') : 'DELETED';
  return encoder.encode(type, present(resource, event.object));
}

class EventEncoder {
  private readonly options: RepresentationOptions;
  private columnsSent = false;

  constructor(options: RepresentationOptions) {
    this.options = options;
  }

  encode(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: ApiObject): string {
    return `{"type":"${type}","object":${this.objectText(object)}}\n`;
  }

  bookmark(revision: number, endOfInitialEvents: boolean): string {
    const { resource, representation } = this.options;
    const annotations = endOfInitialEvents ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {};
    const metadata: JsonObject = { resourceVersion: String(revision), ...annotations };
    const object: JsonObject = { kind: resource.kind, apiVersion: resource.apiVersion, metadata };
    switch (representation.kind) {
      case 'object':
        return eventLine('BOOKMARK', object);
      case 'metadata':
        return eventLine('BOOKMARK', {
          kind: 'PartialObjectMetadata',
          apiVersion: `meta.k8s.io/${representation.version}`,
          metadata,
        });
      case 'table':
        return eventLine('BOOKMARK', { ...table(this.options, [], metadata), rows: [{ cells: [], object }] });
    }
  }

  private objectText(object: ApiObject): string {
    const { representation } = this.options;
    if (representation.kind === 'object') return jsonText(object);
    if (representation.kind === 'metadata') return objectText(this.options, object);
    const rows = table({ ...this.options, now: new Date() }, [object], {
      resourceVersion: object.metadata.resourceVersion ?? '',
    });
    const text = JSON.stringify(this.columnsSent ? { ...rows, columnDefinitions: null } : rows);
    this.columnsSent = true;
    return text;
  }
}

function eventLine(type: string, object: object): string {
  return `${JSON.stringify({ type, object })}\n`;
}

function errorLine(error: ApiError): string {
  return eventLine('ERROR', error.toStatus());
}

function booleanParameter(parameters: URLSearchParams, name: string): boolean | undefined {
  const text = parameters.get(name);
  if (text === null) return undefined;
  return text !== 'false' && text !== '0';
}
