import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import { ManualClock } from '@weft/telemetry';
import type {
  Cluster,
  Endpoint,
  Engine,
  HeaderMap,
  HttpStream,
  HttpStreamEvents,
  ResponseFlag,
  StreamInfo,
  UpstreamContext,
  UpstreamFailure,
} from '../../engine/types.ts';
import { HeaderMap as Headers } from '../../engine/types.ts';
import { createTcpStreamInfo } from '../../network/connection-info.ts';
import { StatsStore } from '../../stats/index.ts';
import { testContext, testEngine } from '../../testing/compile.ts';
import { compileManager } from '../manager/factory.ts';
import { ManagedConnection } from '../manager/connection.ts';
import { connectionPair, RawPeer, settle } from './raw-connection.ts';

/** What a scripted upstream does with an attempt. */
export interface UpstreamAttempt {
  readonly n: number;
  readonly cluster: string;
  readonly headers: HeaderMap;
  body: string;
  ended: boolean;
  trailers: HeaderMap | undefined;
  wasReset: boolean;
  paused: boolean;
  readonly events: HttpStreamEvents;
  respond(status: number, fields?: Record<string, string>, body?: string): void;
}
export type UpstreamScript = (attempt: UpstreamAttempt) => void;
export type FailureScript = (cluster: string, n: number) => UpstreamFailure | undefined;

/** A connection manager with scripted clusters, a clock that stands still, and its client's end of one connection. */
export class ProxyUnderTest {
  readonly clock = new ManualClock();
  readonly stats = new StatsStore();
  readonly attempts: UpstreamAttempt[] = [];
  readonly logs: StreamInfo[] = [];
  readonly engine: Engine;
  peer: RawPeer;
  script: UpstreamScript = (attempt) => attempt.respond(200, {}, 'ok');
  failure: FailureScript = () => undefined;
  retriesAllowed = true;
  claimedRetries = 0;
  random = 0.5;
  private readonly config;

  constructor(
    routes: readonly unknown[],
    manager: Record<string, unknown> = {},
    vhost: Record<string, unknown> = {},
  ) {
    this.engine = testEngine({
      clock: this.clock,
      stats: this.stats,
      random: () => this.random,
      clusters: { get: (name) => (name.startsWith('up') ? this.cluster(name) : undefined), all: () => [] },
    });
    const bytes = envoyFromJson(
      'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      {
        statPrefix: 'test',
        httpFilters: [
          {
            name: 'router',
            typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
          },
        ],
        routeConfig: {
          name: 'r',
          virtualHosts: [{ name: 'v', domains: ['*'], routes, ...vhost }],
        },
        ...manager,
      },
    );
    const { HttpConnectionManager } = envoy.extensions.filters.network.http_connection_manager.v3;
    const { config } = compileManager(HttpConnectionManager.decode(bytes), testContext(this.engine));
    this.config = { ...config, accessLog: { log: (info: StreamInfo) => void this.logs.push(info) } };
    this.peer = this.connect();
  }

  connect(): RawPeer {
    const { client, server } = connectionPair();
    new ManagedConnection(this.config, server, createTcpStreamInfo(server.info, 'inbound'), () => undefined);
    this.peer = new RawPeer(client);
    return this.peer;
  }

  async send(text: string): Promise<string> {
    this.peer.send(text);
    await settle();
    return this.peer.received;
  }

  /** A request without body on a fresh connection; the whole answer. */
  async get(path = '/', fields: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
    this.connect();
    const lines = Object.entries({ host: 'a.test', ...fields }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    return parseAnswer(await this.send(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`));
  }

  async advance(ms: number): Promise<Answer> {
    await this.clock.advance(ms);
    await settle();
    return parseAnswer(this.peer.received);
  }

  get log(): {
    code: number | undefined;
    details: string | undefined;
    flags: ResponseFlag[];
    attempts: number;
  } {
    const info = this.logs.at(-1);
    return {
      code: info?.responseCode,
      details: info?.responseCodeDetails,
      flags: [...(info?.responseFlags ?? [])].sort(),
      attempts: info?.attemptCount ?? 0,
    };
  }

  private cluster(name: string): Cluster {
    const endpoint: Endpoint = {
      address: { kind: 'ip', ip: '10.0.0.1', port: 80 },
      hostname: 'host.test',
      metadata: new Map(),
      locality: { region: '', zone: '', subZone: '' },
      priority: 0,
      weight: 1,
      activeRequests: 0,
      reportResult: () => undefined,
    };
    const cluster: Cluster = {
      name,
      statName: name,
      metadata: new Map(),
      stats: this.stats.scope(`cluster.${name}`),
      maxStreamDurationMs: name === 'up-short' ? 500 : 0,
      breakers: {
        tryRetry: () => {
          if (this.retriesAllowed) this.claimedRetries++;
          return this.retriesAllowed;
        },
        releaseRetry: () => void this.claimedRetries--,
      },
      pick: () => (name === 'up-empty' ? undefined : endpoint),
      connect: (_, __, handlers) => {
        const { client, server } = connectionPair();
        const echo = new RawPeer(server);
        echo.stream.onData = (chunk) => void echo.stream.write(chunk);
        echo.stream.onEnd = () => echo.stream.end();
        queueMicrotask(() => handlers.onConnected(client, { cluster, endpoint }));
        return { cancel: () => undefined };
      },
      openStream: (_: Endpoint, __: UpstreamContext, handlers) => {
        const n = this.attempts.length + 1;
        const failure = this.failure(name, n);
        let cancelled = false;
        queueMicrotask(() => {
          if (cancelled) return;
          if (failure === undefined)
            this.open(name, n, (stream) => handlers.onReady(stream, { cluster, endpoint }));
          else handlers.onFailure(failure);
        });
        return { cancel: () => void (cancelled = true) };
      },
    };
    return cluster;
  }

  private open(cluster: string, n: number, ready: (stream: HttpStream) => HttpStreamEvents): void {
    const made: { attempt?: UpstreamAttempt } = {};
    const early: ((attempt: UpstreamAttempt) => void)[] = [];
    const note = (work: (attempt: UpstreamAttempt) => void): void => {
      if (made.attempt === undefined) early.push(work);
      else work(made.attempt);
    };
    let headers = new Headers();
    const stream: HttpStream = {
      writableLength: 0,
      sendHeaders: (sent, end) => {
        headers = sent;
        note((a) => void (a.ended = end));
      },
      sendData: (chunk, end) => {
        note((a) => {
          a.body += chunk.toString('latin1');
          a.ended = end;
        });
        return true;
      },
      sendTrailers: (trailers) =>
        note((a) => {
          a.trailers = trailers;
          a.ended = true;
        }),
      sendInformational: () => undefined,
      reset: () => note((a) => void (a.wasReset = true)),
      pauseReading: () => note((a) => void (a.paused = true)),
      resumeReading: () => note((a) => void (a.paused = false)),
    };
    const events = ready(stream);
    const attempt: UpstreamAttempt = {
      n,
      cluster,
      headers,
      body: '',
      ended: false,
      trailers: undefined,
      wasReset: false,
      paused: false,
      events,
      respond: (status, fields = {}, body = '') => {
        events.onHeaders(Headers.response(status, fields), body === '');
        if (body !== '') events.onData(Buffer.from(body), true);
      },
    };
    made.attempt = attempt;
    for (const work of early) work(attempt);
    this.attempts.push(attempt);
    this.script(attempt);
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** One HTTP/1.1 response; a chunked body as it is on the wire. */
export function parseAnswer(text: string): Answer {
  const end = text.indexOf('\r\n\r\n');
  const [first = '', ...lines] = text.slice(0, Math.max(end, 0)).split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const at = line.indexOf(': ');
      return [line.slice(0, at), line.slice(at + 2)] as const;
    }),
  );
  return { status: Number(first.split(' ')[1] ?? 0), headers, body: end < 0 ? '' : text.slice(end + 4) };
}
