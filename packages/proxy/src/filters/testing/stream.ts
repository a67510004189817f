import { ManualClock, silentLogger } from '@weft/telemetry';
import {
  ConfigError,
  FilterState,
  HeaderMap,
  type Cluster,
  type CompileContext,
  type CompiledHttpFilter,
  type ConnectionInfo,
  type Engine,
  type HttpFilter,
  type HttpFilterFactory,
  type LocalReply,
  type RouteInfo,
  type StreamCallbacks,
  type StreamInfo,
  type TlsInfo,
} from '../../engine/types.ts';
import { StatsStore } from '../../stats/index.ts';

/** Parts of an engine and a stream for tests of filters, without sockets. */
export interface TestEngine extends Engine {
  readonly clock: ManualClock;
  readonly stats: StatsStore;
}

export function testEngine(
  parts: Partial<Engine> = {},
  clusters: ReadonlyMap<string, Cluster> = new Map(),
): TestEngine {
  const never = (): never => {
    throw new Error('not part of this test');
  };
  const drain = { draining: false, onDrain: () => () => undefined };
  return {
    logger: silentLogger,
    clusters: { get: (name) => clusters.get(name), all: () => clusters.values() },
    secrets: { watch: never },
    routes: { watch: never },
    endpoints: { watch: never },
    internalListeners: { connect: never },
    node: { id: 'test', cluster: 'test', metadata: {} },
    random: () => 0.5,
    drain,
    httpFilter: never,
    networkFilter: never,
    runtime: () => undefined,
    ...parts,
    clock: new ManualClock(),
    stats: new StatsStore(),
  } as TestEngine; // members that other parts add to Engine are not used by filters
}

export function testContext(engine: Engine = testEngine()): CompileContext {
  const at = (path: string): CompileContext =>
    ({
      engine,
      resource: 'test',
      path,
      at: (segment: string) => at(path === '' ? segment : `${path}.${segment}`),
      fail: (reason: string, cause?: unknown) => {
        throw new ConfigError('test', path, reason, { cause });
      },
      statPrefix: 'http.test',
    }) as Partial<CompileContext> as CompileContext; // nothing else is used by filters
  return at('');
}

const ip = (address: string, port: number) => ({ kind: 'ip', ip: address, port }) as const;

export function testTls(tls: Partial<TlsInfo>): TlsInfo {
  return {
    peerUriSans: [],
    peerDnsSans: [],
    localUriSans: [],
    localDnsSans: [],
    peerValidated: true,
    ...tls,
  };
}

export function testConnection(parts: Partial<ConnectionInfo> = {}): ConnectionInfo {
  return {
    id: 1,
    remoteAddress: ip('10.0.0.1', 5555),
    directRemoteAddress: ip('10.0.0.1', 5555),
    localAddress: ip('10.0.0.9', 8080),
    directLocalAddress: ip('10.0.0.9', 8080),
    localAddressRestored: false,
    transportProtocol: 'raw_buffer',
    applicationProtocols: [],
    filterState: new FilterState(),
    dynamicMetadata: new Map(),
    startTimeMs: Date.UTC(2026, 0, 1),
    ...parts,
  };
}

export function testStream(parts: Partial<StreamInfo> = {}): StreamInfo {
  const connection = parts.connection ?? testConnection();
  return {
    kind: 'http',
    connection,
    startTimeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    timings: { start: 100 },
    protocol: 'HTTP/1.1',
    responseFlags: new Set(),
    attemptCount: 1,
    bytesReceived: 0,
    bytesSent: 0,
    remoteAddress: connection.remoteAddress,
    streamId: 'stream-1',
    filterState: new FilterState(connection.filterState),
    dynamicMetadata: new Map(),
    trafficDirection: 'inbound',
    ...parts,
  };
}

export function get(
  path = '/',
  fields: Readonly<Record<string, string | readonly string[]>> = {},
): HeaderMap {
  const lines = Object.entries(fields).flatMap(([name, value]) =>
    (typeof value === 'string' ? [value] : value).map((v) => [name, v] as const),
  );
  return HeaderMap.request({ method: 'GET', path, authority: 'shop.test', scheme: 'http', fields: lines });
}

/** What became of a request that went through one filter. */
export interface Passage {
  readonly info: StreamInfo;
  readonly headers: HeaderMap;
  status: 'continued' | 'waiting' | 'replied' | 'reset';
  reply: LocalReply | undefined;
  routeCleared: boolean;
  /** Resolves once the request goes on or is answered. */
  readonly settled: Promise<void>;
}

/** Sends a request's headers into a filter. */
export function pass(
  filter: HttpFilter | undefined,
  headers: HeaderMap,
  o: { readonly info?: StreamInfo; readonly route?: RouteInfo } = {},
): Passage {
  const info = o.info ?? testStream();
  info.requestHeaders = headers;
  let settle = (): void => undefined;
  const settled = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const passage: Passage = {
    info,
    headers,
    status: 'waiting',
    reply: undefined,
    routeCleared: false,
    settled,
  };
  const finish = (status: Passage['status']): void => {
    if (passage.status !== 'waiting') throw new Error(`${status} after ${passage.status}`);
    passage.status = status;
    settle();
  };
  const callbacks: StreamCallbacks = {
    info,
    continueRequest: () => finish('continued'),
    continueResponse: () => undefined,
    sendLocalReply: (reply) => {
      passage.reply = reply;
      finish('replied');
    },
    bufferRequestBody: () => undefined,
    peekRequestBody: () => undefined,
    clearRouteCache: () => {
      passage.routeCleared = true;
    },
    route: () => o.route,
    resetStream: () => finish('reset'),
  };
  if (
    filter?.onRequestHeaders === undefined ||
    filter.onRequestHeaders(headers, true, callbacks) === 'continue'
  ) {
    finish('continued');
  }
  return passage;
}

/** A route with per-route configuration by filter name. */
export function testRoute(
  configs: Readonly<Record<string, unknown>>,
  parts: Partial<RouteInfo> = {},
): RouteInfo {
  return { name: 'default', virtualHost: 'v', filterConfig: (name) => configs[name], ...parts };
}

/** A filter with its configuration. */
export function compile<M>(
  factory: HttpFilterFactory,
  type: { encode(m: M): { finish(): Uint8Array } },
  message: M,
  engine = testEngine(),
): CompiledHttpFilter {
  return factory.compile(type.encode(message).finish(), testContext(engine), '');
}
/** A response's way through a filter. */
export function respond(
  filter: ReturnType<CompiledHttpFilter['create']>,
  info: StreamInfo,
  headers = HeaderMap.response(200),
): HeaderMap {
  filter?.onResponseHeaders?.(headers, true, {
    info,
    route: () => info.route,
  } as Partial<StreamCallbacks> as StreamCallbacks); // no other callback is used
  return headers;
}
