import { HeaderMap, FilterState } from '../engine/types.ts';
import type {
  ConnectionInfo,
  Engine,
  HttpStream,
  SocketAddress,
  StreamInfo,
  UpstreamFailure,
} from '../engine/types.ts';

/** Largest answer that is kept: a key set, a verdict. */
export const MAX_FETCH_BYTES = 1024 * 1024;

export interface ClusterFetch {
  readonly cluster: string;
  readonly method: string;
  readonly authority: string;
  readonly path: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: Buffer;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface FetchedResponse {
  readonly status: number;
  readonly headers: HeaderMap;
  readonly body: Buffer;
  readonly trailers?: HeaderMap;
}

/** A request that the proxy itself makes, through a cluster. Rejects when there is no complete answer in time. */
export function fetchThroughCluster(engine: Engine, request: ClusterFetch): Promise<FetchedResponse> {
  return new Promise((resolve, reject) => {
    const cluster = engine.clusters.get(request.cluster);
    if (cluster === undefined) return reject(new Error(`cluster ${request.cluster} is unknown`));
    const context = { info: ownStream(engine) };
    const endpoint = cluster.pick(context);
    if (endpoint === undefined) return reject(new Error(`cluster ${request.cluster} has no usable host`));

    let stream: HttpStream | undefined;
    const settle = (finish: () => void): void => {
      cancelTimer();
      request.signal.removeEventListener('abort', onAbort);
      finish();
    };
    const fail = (reason: string): void => {
      pending.cancel();
      stream?.reset('local-reset');
      settle(() => reject(new Error(reason)));
    };
    const onAbort = (): void => fail('aborted');
    const cancelTimer = engine.clock.schedule(request.timeoutMs, () => fail('timeout'));

    const chunks: Buffer[] = [];
    let size = 0;
    let headers: HeaderMap | undefined;
    const complete = (trailers?: HeaderMap): void => {
      const status = headers?.status ?? 0;
      endpoint.reportResult({ kind: 'response', status });
      const answer = { status, headers: headers ?? new HeaderMap(), body: Buffer.concat(chunks) };
      settle(() => resolve(trailers === undefined ? answer : { ...answer, trailers }));
    };
    const pending = cluster.openStream(endpoint, context, {
      onReady: (ready) => {
        stream = ready;
        sendRequest(ready, request);
        return {
          onHeaders: (received, end) => {
            headers = received;
            if (end) complete();
          },
          onData: (chunk, end) => {
            size += chunk.length;
            if (size > MAX_FETCH_BYTES) return fail(`the answer is larger than ${MAX_FETCH_BYTES} bytes`);
            chunks.push(chunk);
            if (end) complete();
          },
          onTrailers: complete,
          onReset: (reason) => settle(() => reject(new Error(`stream ended by ${reason}`))),
          onDrain: () => undefined,
        };
      },
      onFailure: (failure) => settle(() => reject(new Error(describeFailure(failure)))),
    });
    if (request.signal.aborted) onAbort();
    else request.signal.addEventListener('abort', onAbort, { once: true });
  });
}

function sendRequest(stream: HttpStream, request: ClusterFetch): void {
  const { method, path, authority, headers: fields = [], body } = request;
  const headers = HeaderMap.request({ method, path, authority, scheme: 'http', fields });
  if (body !== undefined) headers.set('content-length', String(body.length));
  stream.sendHeaders(headers, body === undefined);
  if (body !== undefined) stream.sendData(body, true);
}

function describeFailure(failure: UpstreamFailure): string {
  return failure.kind === 'connect-failure' && failure.reason !== ''
    ? `connect-failure: ${failure.reason}`
    : failure.kind;
}

let nextId = 0;

/** What load balancing and connecting see of a request that has no client. */
function ownStream(engine: Engine): StreamInfo {
  const address: SocketAddress = { kind: 'internal', listener: 'self', endpointId: '' };
  const startTimeMs = engine.clock.now();
  const connection: ConnectionInfo = {
    id: 0,
    remoteAddress: address,
    directRemoteAddress: address,
    localAddress: address,
    directLocalAddress: address,
    localAddressRestored: false,
    transportProtocol: 'raw_buffer',
    applicationProtocols: [],
    filterState: new FilterState(),
    dynamicMetadata: new Map(),
    startTimeMs,
  };
  return {
    kind: 'http',
    connection,
    startTimeMs,
    timings: { start: performance.now() },
    responseFlags: new Set(),
    attemptCount: 1,
    bytesReceived: 0,
    bytesSent: 0,
    remoteAddress: address,
    streamId: `self-${nextId++}`,
    filterState: connection.filterState,
    dynamicMetadata: connection.dynamicMetadata,
    trafficDirection: 'outbound',
  };
}
