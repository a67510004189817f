import type { IncomingMessage } from 'node:http';
import { WeftError } from '@weft/telemetry';
import type { ApiStatus } from './errors.ts';
import type { KubernetesObject } from './objects.ts';

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  /** Nothing changed up to this resourceVersion. `initialEventsEnd`: what came so far is the complete set. */
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string; readonly initialEventsEnd: boolean }
  | { readonly type: 'ERROR'; readonly status: ApiStatus };

/** One event is one object, which the API server limits to a few MiB. */
export const MAX_WATCH_LINE_BYTES = 16 * 1024 * 1024;

/** The events of a watch answer, at the reader's pace. Ends with the stream; throws WEFT1015 on malformed input. */
export async function* watchEvents<T extends KubernetesObject>(
  response: IncomingMessage,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  for await (const line of lines(response, MAX_WATCH_LINE_BYTES)) yield parseEvent<T>(line);
}

/** Lines without their end; an unfinished last line is dropped, as its event was cut off. */
export async function* lines(
  source: AsyncIterable<unknown>,
  maxBytes: number,
): AsyncGenerator<Buffer, void, undefined> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for await (const chunk of source) {
    let rest = chunk as Buffer; // node:http yields Buffers unless setEncoding was called
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const head = rest.subarray(0, end);
      const line = pendingBytes === 0 ? head : Buffer.concat([...pending, head]);
      pending = [];
      pendingBytes = 0;
      rest = rest.subarray(end + 1);
      if (line.length > maxBytes)
        throw new WeftError('WEFT1015', `a watch event is larger than ${maxBytes} bytes`);
      if (line.length > 0) yield line;
    }
    if (rest.length > 0) {
      pending.push(rest);
      pendingBytes += rest.length;
      if (pendingBytes > maxBytes)
        throw new WeftError('WEFT1015', `a watch event is larger than ${maxBytes} bytes`);
    }
  }
}

const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

function parseEvent<T extends KubernetesObject>(line: Buffer): WatchEvent<T> {
  let event: { readonly type?: unknown; readonly object?: unknown };
  try {
    event = JSON.parse(line.toString('utf8')) as typeof event; // the two fields are checked below
  } catch (error) {
    throw new WeftError('WEFT1015', 'a watch event is not JSON', { cause: error });
  }
  const { type, object } = event;
  if (typeof object !== 'object' || object === null) {
    throw new WeftError('WEFT1015', 'a watch event has no object');
  }
  if (type === 'ERROR') return { type, status: object as ApiStatus }; // by the watch protocol
  const metadata = 'metadata' in object ? (object.metadata as T['metadata'] | null) : null; // every API object has one
  if (metadata === null || metadata === undefined) {
    throw new WeftError('WEFT1015', 'a watch event has an object without metadata');
  }
  if (type === 'BOOKMARK') {
    return {
      type,
      resourceVersion: metadata.resourceVersion ?? '',
      initialEventsEnd: metadata.annotations?.[INITIAL_EVENTS_END] === 'true',
    };
  }
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') {
    throw new WeftError('WEFT1015', `a watch event has the unknown type ${JSON.stringify(type)}`);
  }
  return { type, object: object as T }; // the server's type for the resource that was asked for
}
