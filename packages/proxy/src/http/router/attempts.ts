import type {
  Cluster,
  HeaderMap,
  HttpStream,
  HttpStreamEvents,
  LocalReply,
  ResponseFlag,
  UpstreamContext,
  UpstreamFailure,
  UpstreamInfo,
} from '../../engine/types.ts';
import type { ResetReason } from '../codec.ts';
import type { RetryPolicy } from '../route/retry-policy.ts';
import type { ForwardAction } from '../route/route.ts';
import { Attempt } from './attempt.ts';
import { type FailedAttempt, replyOfReset, replyOfUpstreamFailure } from './failure.ts';
import type { RequestBody } from './request-body.ts';
import { Retries } from './retries.ts';
import type { RouterHost } from './router-host.ts';
import { routerStats } from './upstream-stats.ts';

export interface AttemptsOptions {
  readonly host: RouterHost;
  readonly headers: HeaderMap;
  readonly action: ForwardAction;
  readonly cluster: Cluster;
  readonly retry: RetryPolicy | undefined;
  readonly hash: bigint | undefined;
  readonly perTryMs: number;
  readonly body: RequestBody;
  readonly tunnel: boolean;
}

/** Who made the request, and gets what comes of it. */
export interface AttemptsOwner {
  /** A stream is there: send what there is of the request. */
  onStream(stream: HttpStream, attempt: Attempt): void;
  onInformational(headers: HeaderMap): void;
  /** The head of the response that is for the client: no other attempt will be made. */
  onResponse(attempt: Attempt, headers: HeaderMap, end: boolean): void;
  onData(chunk: Buffer, end: boolean): void;
  onTrailers(trailers: HeaderMap): void;
  /** That response broke off. */
  onBroken(reason: ResetReason): void;
  onDrain(): void;
  /** No attempt succeeded. */
  onFailed(reply: LocalReply): void;
}

/**
 * The attempts of one request, one after the other, up to the response that is for the client.
 *
 *   attempt ─► response ─► accepted ─► streaming ─► over
 *      ▲  └─ failed, or worth a retry ─► back-off ─┐
 *      └───────────────────────────────────────────┘
 *   none left ─► failed
 */
export class Attempts {
  private readonly o: AttemptsOptions;
  private readonly owner: AttemptsOwner;
  private readonly retries: Retries;
  private attempt: Attempt | undefined;
  private accepted = false;

  constructor(o: AttemptsOptions, owner: AttemptsOwner) {
    this.o = o;
    this.owner = owner;
    const { host, cluster, action, retry } = o;
    this.retries = new Retries({ host, policy: retry, cluster, priority: action.priority });
  }

  /** The one that is under way: being opened, or with a stream. */
  get current(): Attempt | undefined {
    return this.attempt;
  }

  /** A response for the client has begun. */
  get responding(): boolean {
    return this.accepted;
  }

  get retried(): boolean {
    return this.retries.count > 0;
  }

  /** The request may be needed again. */
  get mayRetry(): boolean {
    return this.retries.left > 0;
  }

  start(): void {
    const { host, cluster, headers, action } = this.o;
    host.info.attemptCount++;
    const context = this.upstreamContext();
    const endpoint = this.retries.pick(context);
    host.info.upstream = { cluster, ...(endpoint === undefined ? {} : { endpoint }) };
    if (endpoint === undefined) {
      this.fail(replyOfUpstreamFailure({ kind: 'no-healthy-upstream' }, this.retried).reply);
      return;
    }
    const attempt = new Attempt(endpoint, host.engine.clock);
    this.attempt = attempt;
    this.armPerTry();
    const terminate =
      headers.method === 'CONNECT' &&
      headers.protocol === undefined &&
      action.upgrades.get('CONNECT')?.terminate === true;
    attempt.open(cluster, context, terminate, {
      onReady: (stream, upstream) => this.ready(attempt, stream, upstream),
      onFailure: (failure) => {
        if (this.attempt === attempt) this.connectFailed(attempt, failure);
      },
    });
  }

  private upstreamContext(): UpstreamContext {
    const { host, hash, action } = this.o;
    const metadataMatch = host.chosenRoute?.cluster?.metadataMatch;
    const { tried, avoidedPriorities } = this.retries;
    return {
      info: host.info,
      priority: action.priority,
      downstreamProtocol: host.info.protocol === 'HTTP/2' ? 'http2' : 'http1',
      ...(metadataMatch === undefined ? {} : { metadataMatch }),
      ...(hash === undefined ? {} : { hash }),
      ...(tried.size === 0 ? {} : { excluded: tried }),
      ...(avoidedPriorities.size === 0 ? {} : { avoidedPriorities }),
    };
  }

  private ready(attempt: Attempt, stream: HttpStream, upstream: UpstreamInfo): HttpStreamEvents {
    if (this.attempt !== attempt) {
      stream.reset('local-reset');
      return ignoredEvents;
    }
    const { info } = this.o.host;
    attempt.stream = stream;
    attempt.requestSent = true;
    const idleMs = this.retries.perTryIdleTimeoutMs;
    if (idleMs > 0) {
      attempt.armIdleTimeout(idleMs, () => this.timedOut(attempt, 'upstream_per_try_idle_timeout'));
    }
    info.upstream = upstream;
    info.timings.upstreamFirstByteSent ??= performance.now();
    this.owner.onStream(stream, attempt);
    return this.eventsOf(attempt);
  }

  private eventsOf(attempt: Attempt): HttpStreamEvents {
    const { owner } = this;
    const current = (): boolean => this.attempt === attempt;
    return {
      onInformational: (headers) => {
        if (current()) owner.onInformational(headers);
      },
      onHeaders: (headers, end) => {
        if (current()) this.onResponse(attempt, headers, end);
      },
      onData: (chunk, end) => {
        if (current()) owner.onData(chunk, end);
      },
      onTrailers: (trailers) => {
        if (current()) owner.onTrailers(trailers);
      },
      onReset: (reason) => {
        if (current()) this.onReset(attempt, reason);
      },
      onDrain: () => {
        if (current()) owner.onDrain();
      },
    };
  }

  private onResponse(attempt: Attempt, headers: HeaderMap, end: boolean): void {
    const { host, cluster } = this.o;
    const status = headers.status ?? 0;
    const stats = routerStats(cluster);
    attempt.endpoint.reportResult({ kind: 'response', status });
    stats.response(status, host.engine.clock.now() - attempt.startedAt);
    host.info.timings.upstreamFirstByteReceived ??= performance.now();
    const wanted = this.retries.wantsResponse(headers);
    if (wanted !== undefined) {
      if (this.tryAgain(attempt, end, wanted.delayMs)) return;
    } else if (this.retried) stats.retrySuccess.add();
    attempt.stopTimers();
    this.retries.release();
    this.accepted = true;
    this.owner.onResponse(attempt, headers, end);
  }

  /** The whole request is here: from now on an attempt has its time. */
  armPerTry(): void {
    const { perTryMs, body, tunnel } = this.o;
    const { attempt } = this;
    if (attempt === undefined || perTryMs === 0 || !body.ended || this.accepted || tunnel) return;
    attempt.armTimeout(perTryMs, () => this.timedOut(attempt, 'upstream_per_try_timeout'));
  }

  private timedOut(attempt: Attempt, details: string): void {
    if (this.attempt !== attempt || this.accepted) return;
    routerStats(this.o.cluster).perTryTimeout.add();
    attempt.endpoint.reportResult({ kind: 'local-origin', success: false });
    if (this.retries.wantsFailure({ kind: 'per-try-timeout' })) {
      if (this.tryAgain(attempt, false, undefined)) return;
    }
    this.fail(timeoutReply(details));
  }

  private onReset(attempt: Attempt, reason: ResetReason): void {
    if (this.accepted) {
      this.attempt = undefined;
      this.owner.onBroken(reason);
      return;
    }
    attempt.endpoint.reportResult({ kind: 'local-origin', success: false });
    this.failed(attempt, replyOfReset(reason, attempt.requestSent, this.retried));
  }

  private connectFailed(attempt: Attempt, failure: UpstreamFailure): void {
    const { upstream } = this.o.host.info;
    if (upstream !== undefined && failure.kind === 'connect-failure' && failure.reason !== '') {
      upstream.transportFailureReason = failure.reason;
    }
    this.failed(attempt, replyOfUpstreamFailure(failure, this.retried));
  }

  private failed(attempt: Attempt, failed: FailedAttempt): void {
    attempt.stopTimers();
    attempt.stream = undefined;
    if (this.retries.wantsFailure(failed.failure) && this.tryAgain(attempt, true, undefined)) return;
    this.fail(failed.reply);
  }

  /** Schedules another attempt; false when there can be none. */
  private tryAgain(attempt: Attempt, attemptOver: boolean, delayMs: number | undefined): boolean {
    const { retries } = this;
    if (this.accepted) return false;
    retries.release();
    if (this.o.body.lost || !retries.claim(attempt.endpoint)) return false;
    this.attempt = undefined;
    attempt.abandon(attemptOver);
    retries.schedule(delayMs, () => this.start());
    return true;
  }

  /** Gives the request up: time is over, or no attempt is left. */
  fail(reply: LocalReply): void {
    const { cluster } = this.o;
    this.close();
    if (reply.flag !== 'UH') routerStats(cluster).response(reply.status, undefined);
    this.owner.onFailed(reply);
  }

  /** Both directions have ended by themselves. */
  complete(): void {
    this.attempt = undefined;
  }

  stopTimers(): void {
    this.retries.stopWaiting();
    this.attempt?.stopTimers();
  }

  /** Ends what is under way. */
  close(): void {
    const { attempt } = this;
    this.stopTimers();
    this.retries.release();
    this.attempt = undefined;
    attempt?.abandon(false);
  }
}

const ignoredEvents: HttpStreamEvents = {
  onHeaders: () => undefined,
  onData: () => undefined,
  onTrailers: () => undefined,
  onReset: () => undefined,
  onDrain: () => undefined,
};

export function timeoutReply(details: string): LocalReply & { readonly flag: ResponseFlag } {
  return { status: 504, body: 'upstream request timeout', details, flag: 'UT' };
}
