import type {
  Cluster,
  HeaderMap,
  HttpStream,
  LocalReply,
  ResetReason,
  ResponseFlag,
} from '../../engine/types.ts';
import { isGrpcContentType } from '../../matching/index.ts';
import { scheduleDeadline } from '../manager/deadline.ts';
import { hashOf } from '../route/hash-policy.ts';
import type { ChosenRoute, ForwardAction } from '../route/route.ts';
import { retryPolicyOf } from './asked-retries.ts';
import type { Attempt } from './attempt.ts';
import { Attempts, type AttemptsOwner, timeoutReply } from './attempts.ts';
import { brokenResponse } from './failure.ts';
import { type Mirror, startMirrors } from './mirror.ts';
import { RequestBody } from './request-body.ts';
import { decorateResponse } from './response-headers.ts';
import { finishAttemptHeaders, rewriteRequest } from './rewrite-request.ts';
import type { RouterHost, RouterOptions } from './router-host.ts';
import { applyTimeouts, type RequestTimeouts } from './timeouts.ts';
import { routerStats } from './upstream-stats.ts';

export interface ForwardOptions {
  readonly host: RouterHost;
  readonly options: RouterOptions;
  readonly headers: HeaderMap;
  readonly route: ChosenRoute;
  readonly action: ForwardAction;
  readonly cluster: Cluster;
}

/**
 * A request on its way to a cluster, and the answer's way back.
 *
 *   start ─► attempts ─► response headers ─► streaming ─► done
 *               └─ time is over, no attempt left ─► local reply, or the response breaks off ─► done
 *
 * A tunnel (CONNECT, or an upgrade) is the same, but that its bytes wait until the upstream agreed, it is sent once,
 * and either direction may end before the other.
 */
export class ForwardedRequest implements AttemptsOwner {
  private readonly o: ForwardOptions;
  private readonly host: RouterHost;
  private readonly tunnel: boolean;
  private readonly startedAt: number;
  private readonly timeouts: RequestTimeouts;
  private readonly attempts: Attempts;
  private readonly body: RequestBody;
  /** Of hash policies, for the response. */
  private readonly cookies: string[] = [];
  private mirrors: readonly Mirror[] = [];
  private done = false;
  private holding = false;
  private cancelGlobalTimer: () => void = () => undefined;
  private cancelDurationTimer: () => void = () => undefined;

  constructor(o: ForwardOptions) {
    const { host, headers, action } = o;
    this.o = o;
    this.host = host;
    this.startedAt = host.engine.clock.now();
    this.tunnel = headers.method === 'CONNECT' || headers.protocol !== undefined;
    this.timeouts = applyTimeouts(headers, action, isGrpcContentType(headers.get('content-type')));
    const retry = retryPolicyOf(headers, action.retry);
    this.body = new RequestBody(host.bufferLimitBytes, (retry?.retries ?? 0) > 0 && !this.tunnel);
    const hash = hashOf(action.hashPolicies, {
      headers,
      info: host.info,
      setCookie: (value) => this.cookies.push(value),
      random: () => host.engine.random(),
    });
    const { body, tunnel } = this;
    const { perTryMs } = this.timeouts;
    this.attempts = new Attempts({ ...o, retry, hash, perTryMs, body, tunnel }, this);
  }

  start(end: boolean): void {
    const { host } = this;
    const { headers, route, action, options, cluster } = this.o;
    rewriteRequest(headers, host.info, route, action, options);
    if (!this.tunnel) this.mirrors = startMirrors(host, headers, action, end);
    const ms = cluster.maxStreamDurationMs;
    if (ms > 0) this.cancelDurationTimer = host.engine.clock.schedule(ms, () => this.durationReached());
    if (end) this.requestComplete();
    this.attempts.start();
  }

  // ── the request ──

  onRequestData(chunk: Buffer, end: boolean): void {
    if (this.done) return;
    for (const mirror of this.mirrors) mirror.send(chunk, end);
    if (end) this.requestComplete();
    const stream = this.sendableStream();
    if (!this.body.add(chunk, stream !== undefined)) this.hold();
    if (stream === undefined) return;
    this.attempts.current?.touch();
    if (!stream.sendData(chunk, end)) this.hold();
  }

  onRequestTrailers(trailers: HeaderMap): void {
    if (this.done) return;
    for (const mirror of this.mirrors) mirror.send(EMPTY, true);
    this.body.setTrailers(trailers);
    this.requestComplete();
    this.sendableStream()?.sendTrailers(this.body.kept ? trailers.clone() : trailers);
  }

  private requestComplete(): void {
    if (this.body.ended) return;
    this.body.end();
    const { engine, info } = this.host;
    const { globalMs } = this.timeouts;
    info.timings.upstreamLastByteSent ??= performance.now();
    if (globalMs > 0 && !this.tunnel && !this.attempts.responding) {
      this.cancelGlobalTimer = scheduleDeadline(engine.clock, globalMs, () => this.timedOut());
    }
    this.attempts.armPerTry();
  }

  /** Where request data may go now: bytes of another protocol wait until that is agreed on. */
  private sendableStream(): HttpStream | undefined {
    if (this.tunnel && !this.attempts.responding) return undefined;
    return this.attempts.current?.stream;
  }

  onStream(stream: HttpStream, { endpoint }: Attempt): void {
    const { host, body, attempts, timeouts } = this;
    const { action, options } = this.o;
    const headers = body.kept || attempts.mayRetry ? this.o.headers.clone() : this.o.headers;
    const leftMs =
      attempts.retried && timeouts.perTryMs === 0
        ? timeouts.globalMs - (host.engine.clock.now() - this.startedAt)
        : undefined;
    finishAttemptHeaders(headers, { host, action, options, hostname: endpoint.hostname, leftMs });
    const { follows } = body;
    stream.sendHeaders(headers, !follows);
    if (!this.tunnel) this.sendBody(stream, follows);
  }

  private sendBody(stream: HttpStream, follows: boolean): void {
    if (this.body.sendTo(stream, follows)) this.release();
    else this.hold();
  }

  onDrain(): void {
    this.release();
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

  // ── the response ──

  onInformational(headers: HeaderMap): void {
    this.host.respondInformational(headers);
  }

  onResponse(attempt: Attempt, headers: HeaderMap, end: boolean): void {
    const { host, body, tunnel } = this;
    const status = headers.status ?? 0;
    body.stopKeeping();
    if (!tunnel) body.drop();
    if (tunnel && this.o.headers.protocol !== undefined && status !== 101) {
      this.refusedUpgrade(headers);
      return;
    }
    if (status === 101 || (tunnel && status < 300)) {
      this.cancelTimers();
      host.onTunnel();
      if (attempt.stream !== undefined) this.sendBody(attempt.stream, true);
    }
    const ms = host.engine.clock.now() - attempt.startedAt;
    decorateResponse(headers, host, { ...this.o.options, cookies: this.cookies, ms });
    host.info.responseCodeDetails = 'via_upstream';
    if (end) this.responseEnded();
    host.respondHeaders(headers, end);
  }

  /** Status passed, body dropped. */
  private refusedUpgrade(headers: HeaderMap): void {
    const { host } = this;
    this.attempts.close();
    this.responseEnded();
    headers.delete('content-length');
    host.info.responseCodeDetails = 'websocket_handshake_unsuccessful';
    host.respondHeaders(headers, true);
  }

  onData(chunk: Buffer, end: boolean): void {
    if (end) this.responseEnded();
    this.host.respondData(chunk, end);
  }

  onTrailers(trailers: HeaderMap): void {
    this.responseEnded();
    this.host.respondTrailers(trailers);
  }

  private responseEnded(): void {
    this.host.info.timings.upstreamLastByteReceived ??= performance.now();
    this.cancelTimers();
    // Otherwise the rest of the request, or a tunnel's other direction, may go on.
    if (this.body.ended) this.attempts.complete();
  }

  /** There is room downstream again, or not. */
  pauseResponse(): void {
    this.attempts.current?.stream?.pauseReading();
  }

  resumeResponse(): void {
    this.attempts.current?.stream?.resumeReading();
  }

  // ── the end ──

  onFailed(reply: LocalReply): void {
    this.cancelTimers();
    this.host.sendLocalReply(reply);
  }

  onBroken(reason: ResetReason): void {
    const { flag, details } = brokenResponse(reason);
    this.breakOff(flag, details, reason);
  }

  private timedOut(): void {
    if (this.done) return;
    routerStats(this.o.cluster).timeout.add();
    this.attempts.current?.endpoint.reportResult({ kind: 'local-origin', success: false });
    this.expire(timeoutReply('response_timeout'));
  }

  private durationReached(): void {
    if (this.done) return;
    this.expire({ ...timeoutReply('upstream_max_stream_duration_reached'), flag: 'UMSDR' });
  }

  /** Time is over, whatever state the request is in. */
  private expire(reply: LocalReply & { readonly flag: ResponseFlag }): void {
    if (!this.attempts.responding) {
      this.attempts.fail(reply);
      return;
    }
    this.attempts.close();
    this.breakOff(reply.flag, reply.details, 'local-reset');
  }

  /** Gives up a response of which the client has something. */
  private breakOff(flag: ResponseFlag, details: string, reason: ResetReason): void {
    const { info } = this.host;
    info.responseFlags.add(flag);
    info.responseCodeDetails = details;
    this.done = true;
    this.cancelTimers();
    this.host.breakResponse(reason);
  }

  /** The exchange is over, whoever ended it. */
  destroy(): void {
    if (this.done) return;
    this.done = true;
    this.cancelTimers();
    this.attempts.close();
    if (!this.body.ended) for (const mirror of this.mirrors) mirror.giveUp();
    this.mirrors = [];
    this.body.clear();
  }

  private cancelTimers(): void {
    this.cancelGlobalTimer();
    this.cancelDurationTimer();
    this.attempts.stopTimers();
  }
}

const EMPTY = Buffer.alloc(0);
