import type {
  Cluster,
  Endpoint,
  Engine,
  HeaderMap,
  LocalReply,
  ResponseFlag,
  StreamInfo,
  UpstreamContext,
  UpstreamFailure,
  UpstreamInfo,
} from '../../engine/types.ts';
import { isGrpcContentType } from '../../matching/index.ts';
import type { HttpStream, HttpStreamEvents, ResetReason } from '../codec.ts';
import { hashOf } from '../route/hash-policy.ts';
import {
  backOffMs,
  rateLimitedBackOffMs,
  retriableFailure,
  retriableResponse,
  type RetryPolicy,
} from '../route/retry-policy.ts';
import type { ChosenRoute, ForwardAction } from '../route/route.ts';
import { retryPolicyOf } from './asked-retries.ts';
import { brokenResponse, type FailedAttempt, replyOfReset, replyOfUpstreamFailure } from './failure.ts';
import { Mirror } from './mirror.ts';
import { redirectLocation } from './redirect.ts';
import { rewriteRequest, setAuthority } from './rewrite-request.ts';
import { TcpTunnel } from './tcp-tunnel.ts';
import { scheduleDeadline } from '../manager/deadline.ts';
import { IdleTimer } from '../manager/idle-timer.ts';
import { applyTimeouts, type RequestTimeouts } from './timeouts.ts';
import { routerStats } from './upstream-stats.ts';

export interface RouterOptions {
  readonly suppressEnvoyHeaders: boolean;
}

/** The exchange, as the router needs it. */
export interface RouterHost {
  readonly engine: Engine;
  readonly info: StreamInfo;
  /** Undefined: none. */
  readonly chosenRoute: ChosenRoute | undefined;
  readonly bufferLimitBytes: number;
  sendLocalReply(reply: LocalReply): void;
  respondInformational(headers: HeaderMap): void;
  respondHeaders(headers: HeaderMap, end: boolean): void;
  respondData(chunk: Buffer, end: boolean): void;
  respondTrailers(trailers: HeaderMap): void;
  /** The response broke off. */
  breakResponse(reason: ResetReason): void;
  holdRequest(): void;
  releaseRequest(): void;
  /** The client waits for bytes of another protocol: no timeouts any more. */
  onTunnel(): void;
}

interface Attempt {
  endpoint: Endpoint;
  stream: HttpStream | undefined;
  cancelPending: () => void;
  cancelTimer: () => void;
  idle: IdleTimer | undefined;
  responded: boolean;
  requestSent: boolean;
  startedAt: number;
}

/**
 * The last filter: finds the upstream, sends the request there, and leads the answer back.
 *
 *   request ─► attempt ─► response headers ─► streaming ─► done
 *                 ▲  └─ failed, or worth a retry ─► back-off ─┐
 *                 └───────────────────────────────────────────┘
 */
export class Router {
  private readonly host: RouterHost;
  private readonly options: RouterOptions;
  private headers: HeaderMap | undefined;
  private action: ForwardAction | undefined;
  private cluster: Cluster | undefined;
  private retry: RetryPolicy | undefined;
  private timeouts: RequestTimeouts = { globalMs: 0, perTryMs: 0 };
  private attempt: Attempt | undefined;
  private retriesLeft = 0;
  private retries = 0;
  private startedAt = 0;
  private retryClaimed = false;
  private readonly tried = new Set<Endpoint>();
  private mirrors: Mirror[] = [];
  private hash: bigint | undefined;
  private readonly cookies: string[] = [];
  /** The body: all of it while it may be sent again, otherwise what waits for the stream. */
  private body: Buffer[] = [];
  private bodyBytes = 0;
  private keepBody = false;
  /** Some of it was sent and isn't here any more: no other attempt can be made. */
  private bodyLost = false;
  private requestEnded = false;
  private trailers: HeaderMap | undefined;
  private responding = false;
  private done = false;
  private holding = false;
  private cancelGlobalTimer: () => void = () => undefined;
  private cancelBackOff: () => void = () => undefined;
  private cancelDurationTimer: () => void = () => undefined;

  constructor(host: RouterHost, options: RouterOptions) {
    this.host = host;
    this.options = options;
  }

  onHeaders(headers: HeaderMap, end: boolean): void {
    const { host } = this;
    const route = host.chosenRoute;
    if (route === undefined) {
      host.sendLocalReply({ status: 404, details: 'route_not_found', flag: 'NR' });
      return;
    }
    const { action } = route.route;
    switch (action.kind) {
      case 'none':
        host.sendLocalReply({ status: 404, details: 'route_not_found', flag: 'NR' });
        return;
      case 'direct-response':
        host.sendLocalReply({ status: action.status, body: action.body, details: 'direct_response' });
        return;
      case 'redirect':
        host.sendLocalReply({
          status: action.redirect.status,
          details: 'direct_response',
          headers: [['location', redirectLocation(headers, action.redirect)]],
        });
        return;
      case 'forward':
        this.forward(headers, end, route, action.forward);
    }
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.done || this.action === undefined) return;
    for (const mirror of this.mirrors) mirror.send(chunk, end);
    if (end) this.requestComplete();
    const stream = this.sendableStream();
    if (this.keepBody || stream === undefined) {
      this.body.push(chunk);
      this.bodyBytes += chunk.length;
      this.boundBody(stream !== undefined);
    }
    if (stream === undefined) return;
    if (!this.keepBody && chunk.length > 0) this.bodyLost = true;
    this.attempt?.idle?.touch();
    if (!stream.sendData(chunk, end)) this.hold();
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.done || this.action === undefined) return;
    for (const mirror of this.mirrors) mirror.send(EMPTY, true);
    this.trailers = trailers;
    this.requestComplete();
    this.sendableStream()?.sendTrailers(this.keepBody ? trailers.clone() : trailers);
  }

  /** There is room downstream again, or not. */
  pauseResponse(): void {
    this.attempt?.stream?.pauseReading();
  }

  resumeResponse(): void {
    this.attempt?.stream?.resumeReading();
  }

  /** The exchange is over, whoever ended it. */
  destroy(): void {
    if (this.done) return;
    this.done = true;
    this.cancelTimers();
    this.releaseRetry();
    const { attempt } = this;
    this.attempt = undefined;
    if (attempt !== undefined) {
      attempt.cancelPending();
      attempt.stream?.reset('local-reset');
    }
    if (!this.requestEnded) for (const mirror of this.mirrors) mirror.giveUp();
    this.mirrors = [];
    this.body = [];
  }

  private forward(headers: HeaderMap, end: boolean, route: ChosenRoute, action: ForwardAction): void {
    const { host } = this;
    const name = route.cluster?.name;
    const cluster = name === undefined ? undefined : host.engine.clusters.get(name);
    if (cluster === undefined) {
      host.sendLocalReply({ status: action.clusterNotFoundStatus, details: 'cluster_not_found', flag: 'NC' });
      return;
    }
    this.startedAt = host.engine.clock.now();
    this.headers = headers;
    this.action = action;
    this.cluster = cluster;
    const grpc = isGrpcContentType(headers.get('content-type'));
    this.timeouts = applyTimeouts(headers, action, grpc);
    this.retry = retryPolicyOf(headers, action.retry);
    this.retriesLeft = this.retry?.retries ?? 0;
    const tunnel = headers.method === 'CONNECT' || headers.protocol !== undefined;
    this.keepBody = this.retriesLeft > 0 && !tunnel;
    this.hash = hashOf(action.hashPolicies, {
      headers,
      info: host.info,
      setCookie: (value) => this.cookies.push(value),
      random: () => host.engine.random(),
    });
    rewriteRequest(headers, host.info, route, action, this.options);
    this.startMirrors(headers, action, end, tunnel);
    if (cluster.maxStreamDurationMs > 0) {
      const ms = cluster.maxStreamDurationMs;
      this.cancelDurationTimer = host.engine.clock.schedule(ms, () => this.durationReached());
    }
    if (end) this.requestComplete();
    this.startAttempt();
  }

  private startMirrors(headers: HeaderMap, action: ForwardAction, end: boolean, tunnel: boolean): void {
    if (tunnel) return;
    const { engine, info } = this.host;
    for (const policy of action.mirrors) {
      if (policy.fraction < 1 && engine.random() >= policy.fraction) continue;
      const name = policy.cluster(headers);
      const cluster = name === undefined ? undefined : engine.clusters.get(name);
      if (cluster === undefined) continue;
      const appendShadow = policy.appendShadowSuffix;
      this.mirrors.push(new Mirror({ engine, cluster, headers: headers.clone(), info, end, appendShadow }));
    }
  }

  private startAttempt(): void {
    const { host, cluster, headers, action } = this;
    if (cluster === undefined || headers === undefined || action === undefined || this.done) return;
    host.info.attemptCount++;
    const context: UpstreamContext = {
      info: host.info,
      priority: action.priority,
      downstreamProtocol: host.info.protocol === 'HTTP/2' ? 'http2' : 'http1',
      ...(host.chosenRoute?.cluster?.metadataMatch === undefined
        ? {}
        : { metadataMatch: host.chosenRoute.cluster.metadataMatch }),
      ...(this.hash === undefined ? {} : { hash: this.hash }),
      ...(this.tried.size === 0 ? {} : { excluded: this.tried }),
    };
    const endpoint = this.pick(cluster, context);
    host.info.upstream = { cluster, ...(endpoint === undefined ? {} : { endpoint }) };
    if (endpoint === undefined) {
      this.fail(replyOfUpstreamFailure({ kind: 'no-healthy-upstream' }, this.retries > 0));
      return;
    }
    const attempt: Attempt = {
      endpoint,
      stream: undefined,
      cancelPending: () => undefined,
      cancelTimer: () => undefined,
      idle: undefined,
      responded: false,
      requestSent: false,
      startedAt: host.engine.clock.now(),
    };
    this.attempt = attempt;
    this.armPerTry(attempt);
    const onFailure = (failure: UpstreamFailure): void => {
      if (this.attempt === attempt) this.connectFailed(attempt, failure);
    };
    const upgrade = headers.method === 'CONNECT' ? action.upgrades.get('CONNECT') : undefined;
    const pending =
      headers.method === 'CONNECT' && headers.protocol === undefined && upgrade?.terminate === true
        ? cluster.connect(endpoint, context, {
            onConnected: (connection, upstream) => {
              const tunnel = new TcpTunnel(connection);
              tunnel.attach(this.ready(attempt, tunnel, upstream));
            },
            onFailure,
          })
        : cluster.openStream(endpoint, context, {
            onReady: (stream, upstream) => this.ready(attempt, stream, upstream),
            onFailure,
          });
    attempt.cancelPending = () => pending.cancel();
  }

  private pick(cluster: Cluster, context: UpstreamContext): Endpoint | undefined {
    let endpoint = cluster.pick(context);
    if (this.retry?.avoidPreviousHosts !== true) return endpoint;
    for (let n = this.retry.hostSelectionAttempts; n > 0; n--) {
      if (endpoint === undefined || !this.tried.has(endpoint)) break;
      endpoint = cluster.pick(context);
    }
    return endpoint;
  }

  /** A stream is there: sends what came so far. */
  private ready(attempt: Attempt, stream: HttpStream, upstream: UpstreamInfo): HttpStreamEvents {
    const { host } = this;
    if (this.attempt !== attempt || this.headers === undefined) {
      stream.reset('local-reset');
      return ignoredEvents;
    }
    attempt.stream = stream;
    attempt.requestSent = true;
    const idleMs = this.retry?.perTryIdleTimeoutMs ?? 0;
    if (idleMs > 0) {
      attempt.idle = new IdleTimer(host.engine.clock, idleMs, () =>
        this.perTryTimedOut(attempt, 'upstream_per_try_idle_timeout'),
      );
    }
    host.info.upstream = upstream;
    host.info.timings.upstreamFirstByteSent ??= performance.now();
    const headers = this.keepBody || this.retriesLeft > 0 ? this.headers.clone() : this.headers;
    this.finishHeaders(headers, attempt.endpoint);
    const bodyFollows = this.body.length > 0 || !this.requestEnded || this.trailers !== undefined;
    stream.sendHeaders(headers, !bodyFollows);
    if (!this.requestIsTunnel()) this.sendBody(stream, bodyFollows);
    return this.eventsOf(attempt);
  }

  private finishHeaders(headers: HeaderMap, endpoint: Endpoint): void {
    const { host, action } = this;
    if (action?.rewriteHost?.kind === 'auto' && endpoint.hostname !== '') {
      setAuthority(headers, endpoint.hostname, action, this.options);
    }
    if (this.retries > 0 && headers.has('x-envoy-expected-rq-timeout-ms') && this.timeouts.perTryMs === 0) {
      // What is left of the time for all attempts.
      const left = this.timeouts.globalMs - (host.engine.clock.now() - this.startedAt);
      headers.set('x-envoy-expected-rq-timeout-ms', String(Math.max(1, Math.round(left))));
    }
    if (host.chosenRoute?.route.virtualHost.includeAttemptCount === true) {
      headers.set('x-envoy-attempt-count', String(host.info.attemptCount));
    }
  }

  private sendBody(stream: HttpStream, bodyFollows: boolean): void {
    let room = true;
    const last = this.body.length - 1;
    for (const [i, chunk] of this.body.entries()) {
      room = stream.sendData(chunk, this.requestEnded && this.trailers === undefined && i === last);
    }
    if (bodyFollows && this.requestEnded) {
      if (this.trailers !== undefined) stream.sendTrailers(this.trailers.clone());
      else if (last < 0) stream.sendData(EMPTY, true);
    }
    if (!this.keepBody) this.dropBody();
    if (room) this.release();
    else this.hold();
  }

  private eventsOf(attempt: Attempt): HttpStreamEvents {
    const { host } = this;
    const current = (): boolean => this.attempt === attempt && !this.done;
    return {
      onInformational: (headers) => {
        if (current()) host.respondInformational(headers);
      },
      onHeaders: (headers, end) => {
        if (current()) this.onResponse(attempt, headers, end);
      },
      onData: (chunk, end) => {
        if (!current()) return;
        if (end) this.responseEnded();
        host.respondData(chunk, end);
      },
      onTrailers: (trailers) => {
        if (!current()) return;
        this.responseEnded();
        host.respondTrailers(trailers);
      },
      onReset: (reason) => {
        if (current()) this.onReset(attempt, reason);
      },
      onDrain: () => {
        if (current()) this.release();
      },
    };
  }

  private onResponse(attempt: Attempt, headers: HeaderMap, end: boolean): void {
    const { host, retry, headers: request } = this;
    const status = headers.status ?? 0;
    const now = host.engine.clock.now();
    attempt.endpoint.reportResult({ kind: 'response', status });
    if (this.cluster !== undefined) routerStats(this.cluster).response(status, now - attempt.startedAt);
    host.info.timings.upstreamFirstByteReceived ??= performance.now();
    if (retry !== undefined && status !== 101 && retriableResponse(retry, headers)) {
      const delay = rateLimitedBackOffMs(retry, headers, now);
      if (this.tryAgain(attempt, end, delay)) return;
    } else if (this.retries > 0 && this.cluster !== undefined) routerStats(this.cluster).retrySuccess.add();
    this.cancelAttemptTimers(attempt);
    this.releaseRetry();
    attempt.responded = true;
    this.responding = true;
    this.keepBody = false;
    if (!this.requestIsTunnel()) this.dropBody();
    if (this.requestIsTunnel() && request?.protocol !== undefined && status !== 101) {
      this.refusedUpgrade(headers);
      return;
    }
    if (status === 101 || (this.requestIsTunnel() && status < 300)) {
      this.cancelTimers();
      host.onTunnel();
      if (attempt.stream !== undefined) this.sendBody(attempt.stream, true);
    }
    this.decorate(headers, now - attempt.startedAt);
    host.info.responseCodeDetails = 'via_upstream';
    if (end) this.responseEnded();
    host.respondHeaders(headers, end);
  }

  /** Where request data may go now: bytes of another protocol wait until that is agreed on. */
  private sendableStream(): HttpStream | undefined {
    if (this.requestIsTunnel() && !this.responding) return undefined;
    return this.attempt?.stream;
  }

  private requestIsTunnel(): boolean {
    return this.headers?.method === 'CONNECT' || this.headers?.protocol !== undefined;
  }

  /** Status passed, body dropped. */
  private refusedUpgrade(headers: HeaderMap): void {
    const { attempt, host } = this;
    this.attempt = undefined;
    attempt?.stream?.reset('local-reset');
    this.responseEnded();
    headers.delete('content-length');
    host.info.responseCodeDetails = 'websocket_handshake_unsuccessful';
    host.respondHeaders(headers, true);
  }

  private decorate(headers: HeaderMap, ms: number): void {
    const { host } = this;
    const route = host.chosenRoute;
    host.info.responseCode = headers.status ?? 0;
    host.info.responseHeaders = headers;
    route?.mutate('response', headers, host.info);
    for (const cookie of this.cookies) headers.append('set-cookie', cookie);
    if (!this.options.suppressEnvoyHeaders) {
      headers.set('x-envoy-upstream-service-time', String(Math.round(ms)));
    }
    if (route?.route.virtualHost.includeAttemptCountInResponse === true) {
      headers.set('x-envoy-attempt-count', String(host.info.attemptCount));
    }
  }

  private responseEnded(): void {
    this.host.info.timings.upstreamLastByteReceived ??= performance.now();
    this.cancelTimers();
    // A tunnel's other direction may go on.
    if (!this.requestEnded && this.requestIsTunnel()) return;
    if (this.requestEnded) this.attempt = undefined;
  }

  private onReset(attempt: Attempt, reason: ResetReason): void {
    if (attempt.responded) {
      const broken = brokenResponse(reason);
      this.host.info.responseFlags.add(broken.flag);
      this.host.info.responseCodeDetails = broken.details;
      this.attempt = undefined;
      this.done = true;
      this.cancelTimers();
      this.host.breakResponse(reason);
      return;
    }
    attempt.endpoint.reportResult({ kind: 'local-origin', success: false });
    const failed = replyOfReset(reason, attempt.requestSent, this.retries > 0);
    this.attemptFailed(attempt, failed);
  }

  private connectFailed(attempt: Attempt, failure: UpstreamFailure): void {
    const { upstream } = this.host.info;
    if (upstream !== undefined && failure.kind === 'connect-failure' && failure.reason !== '') {
      upstream.transportFailureReason = failure.reason;
    }
    this.attemptFailed(attempt, replyOfUpstreamFailure(failure, this.retries > 0));
  }

  private attemptFailed(attempt: Attempt, failed: FailedAttempt): void {
    this.cancelAttemptTimers(attempt);
    attempt.stream = undefined;
    const { retry } = this;
    if (retry !== undefined && failed.failure !== undefined && retriableFailure(retry, failed.failure)) {
      if (this.tryAgain(attempt, true, undefined)) return;
    }
    this.fail(failed);
  }

  /** Gives the request up with a local reply. */
  private fail(failed: FailedAttempt): void {
    const { attempt } = this;
    this.attempt = undefined;
    this.releaseRetry();
    this.cancelTimers();
    attempt?.stream?.reset('local-reset');
    if (this.cluster !== undefined && failed.reply.flag !== 'UH') {
      routerStats(this.cluster).response(failed.reply.status, undefined);
    }
    this.host.sendLocalReply(failed.reply);
  }

  /** Schedules another attempt; false when there is none left. */
  private tryAgain(attempt: Attempt, attemptOver: boolean, delayMs: number | undefined): boolean {
    const { retry, cluster, action, host } = this;
    if (retry === undefined || cluster === undefined || action === undefined || this.responding) return false;
    this.releaseRetry();
    const stats = routerStats(cluster);
    if (this.bodyLost) return false;
    if (this.retriesLeft <= 0) {
      host.info.responseFlags.add('URX');
      stats.retryLimitExceeded.add();
      return false;
    }
    if (!cluster.breakers.tryRetry(action.priority)) {
      host.info.responseFlags.add('UO');
      return false;
    }
    this.retryClaimed = true;
    this.retriesLeft--;
    this.retries++;
    stats.retry.add();
    this.tried.add(attempt.endpoint);
    this.cancelAttemptTimers(attempt);
    this.attempt = undefined;
    attempt.cancelPending();
    if (!attemptOver) attempt.stream?.reset('local-reset');
    const delay = delayMs ?? backOffMs(retry, this.retries, () => host.engine.random());
    this.cancelBackOff = host.engine.clock.schedule(delay, () => this.startAttempt());
    return true;
  }

  private requestComplete(): void {
    if (this.requestEnded) return;
    this.requestEnded = true;
    const { engine, info } = this.host;
    info.timings.upstreamLastByteSent ??= performance.now();
    if (this.timeouts.globalMs > 0 && !this.requestIsTunnel() && !this.responding) {
      this.cancelGlobalTimer = scheduleDeadline(engine.clock, this.timeouts.globalMs, () => this.timedOut());
    }
    if (this.attempt !== undefined) this.armPerTry(this.attempt);
  }

  private armPerTry(attempt: Attempt): void {
    const { perTryMs } = this.timeouts;
    if (perTryMs === 0 || !this.requestEnded || attempt.responded || this.requestIsTunnel()) return;
    attempt.cancelTimer();
    attempt.cancelTimer = scheduleDeadline(this.host.engine.clock, perTryMs, () =>
      this.perTryTimedOut(attempt),
    );
  }

  private timedOut(): void {
    if (this.done) return;
    const { cluster, attempt } = this;
    if (cluster !== undefined) routerStats(cluster).timeout.add();
    attempt?.endpoint.reportResult({ kind: 'local-origin', success: false });
    this.expire(timeoutReply('response_timeout'));
  }

  private durationReached(): void {
    if (this.done) return;
    this.expire({ ...timeoutReply('upstream_max_stream_duration_reached'), flag: 'UMSDR' });
  }

  /** Time is over, whatever state the request is in. */
  private expire(reply: LocalReply & { readonly flag: ResponseFlag }): void {
    const { attempt, host } = this;
    attempt?.cancelPending();
    this.cancelBackOff();
    if (!this.responding) {
      this.fail({ reply, failure: undefined });
      return;
    }
    host.info.responseFlags.add(reply.flag);
    host.info.responseCodeDetails = reply.details;
    this.attempt = undefined;
    this.done = true;
    this.cancelTimers();
    attempt?.stream?.reset('local-reset');
    host.breakResponse('local-reset');
  }

  private perTryTimedOut(attempt: Attempt, details = 'upstream_per_try_timeout'): void {
    if (this.done || this.attempt !== attempt || this.responding) return;
    if (this.cluster !== undefined) routerStats(this.cluster).perTryTimeout.add();
    attempt.endpoint.reportResult({ kind: 'local-origin', success: false });
    const { retry } = this;
    if (retry !== undefined && retriableFailure(retry, { kind: 'per-try-timeout' })) {
      if (this.tryAgain(attempt, false, undefined)) return;
    }
    attempt.cancelPending();
    this.fail({ reply: timeoutReply(details), failure: undefined });
  }

  private boundBody(streaming: boolean): void {
    if (this.bodyBytes <= this.host.bufferLimitBytes) return;
    // Too much to keep for another attempt; without a stream yet, the client has to wait.
    if (streaming) {
      this.keepBody = false;
      this.dropBody();
    } else {
      this.hold();
    }
  }

  private dropBody(): void {
    if (this.body.length > 0) this.bodyLost = true;
    this.body = [];
    this.bodyBytes = 0;
  }

  private hold(): void {
    if (this.holding) return;
    this.holding = true;
    this.host.holdRequest();
  }

  private release(): void {
    if (!this.holding) return;
    this.holding = false;
    this.host.releaseRequest();
  }

  private releaseRetry(): void {
    if (!this.retryClaimed || this.cluster === undefined || this.action === undefined) return;
    this.retryClaimed = false;
    this.cluster.breakers.releaseRetry(this.action.priority);
  }

  private cancelAttemptTimers(attempt: Attempt): void {
    attempt.idle?.stop();
    attempt.cancelTimer();
    attempt.cancelTimer = () => undefined;
  }

  private cancelTimers(): void {
    this.cancelGlobalTimer();
    this.cancelDurationTimer();
    this.cancelBackOff();
    if (this.attempt !== undefined) this.cancelAttemptTimers(this.attempt);
  }
}

const EMPTY = Buffer.alloc(0);

const ignoredEvents: HttpStreamEvents = {
  onHeaders: () => undefined,
  onData: () => undefined,
  onTrailers: () => undefined,
  onReset: () => undefined,
  onDrain: () => undefined,
};

function timeoutReply(details: string): LocalReply & { readonly flag: ResponseFlag } {
  return { status: 504, body: 'upstream request timeout', details, flag: 'UT' };
}
