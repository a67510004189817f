import { describeError } from '@weft/telemetry';
import {
  FilterState,
  HeaderMap,
  type ConnectionInfo,
  type Engine,
  type FilterStatus,
  type HttpFilter,
  type LocalReply,
  type RouteInfo,
  type StreamCallbacks,
  type StreamInfo,
} from '../../engine/types.ts';
import { isGrpcContentType } from '../../matching/index.ts';
import type { BadRequest, HttpServerStream, HttpStreamEvents, ResetReason } from '../codec.ts';
import { Router } from '../router/router.ts';
import type { RouterHost } from '../router/router-host.ts';
import { httpsLocation } from '../router/redirect.ts';
import { grpcTimeoutText, parseGrpcTimeout } from '../router/timeouts.ts';
import { FILTER_DISABLED } from '../route/filter-configs.ts';
import type { RouteLookup } from '../route/route-table.ts';
import type { ChosenRoute } from '../route/route.ts';
import type { ManagerConfig } from './config.ts';
import { newStreamId } from './edge-headers.ts';
import { FilterPass, type MessageEvent } from './filter-pass.ts';
import { IdleTimer } from './idle-timer.ts';
import { buildLocalReply } from './local-reply.ts';
import { prepareRequest } from './prepare-request.ts';
import { finishResponse } from './finish-response.ts';

/** What an exchange tells its connection. */
export interface ExchangeOwner {
  onComplete(exchange: Exchange): void;
}

/**
 * One request and its response, from the codec through the filters to the router and back.
 *
 *   codec ─► prepare ─► route ─► filters ─► router ─► cluster
 *   codec ◄─ finish  ◄── filters in reverse ◄─┘
 */
export class Exchange implements HttpStreamEvents, RouterHost, StreamCallbacks {
  readonly info: StreamInfo;
  readonly engine: Engine;
  readonly bufferLimitBytes: number;
  private readonly config: ManagerConfig;
  readonly stream: HttpServerStream;
  private readonly owner: ExchangeOwner;
  private readonly random: number;
  private filters: HttpFilter[] = [];
  private requestPass: FilterPass | undefined;
  private responsePass: FilterPass | undefined;
  private router: Router | undefined;
  private lookup: RouteLookup | undefined;
  private routeKnown = false;
  private requestEnded = false;
  private responseStarted = false;
  private headersSent = false;
  private replied = false;
  private complete = false;
  private grpc = false;
  private requestHolds = 0;
  private responseHolds = 0;
  private idle: IdleTimer | undefined;
  private cancelRequestTimer: () => void = () => undefined;
  private cancelDurationTimer: () => void = () => undefined;

  constructor(
    config: ManagerConfig,
    connection: ConnectionInfo,
    stream: HttpServerStream,
    owner: ExchangeOwner,
  ) {
    this.config = config;
    this.engine = config.engine;
    this.bufferLimitBytes = config.bufferLimitBytes;
    this.stream = stream;
    this.owner = owner;
    this.random = config.engine.random();
    this.info = {
      kind: 'http',
      connection,
      startTimeMs: config.engine.clock.now(),
      timings: { start: performance.now() },
      protocol: stream.protocol,
      responseFlags: new Set(),
      attemptCount: 0,
      bytesReceived: 0,
      bytesSent: 0,
      remoteAddress: connection.remoteAddress,
      streamId: newStreamId(),
      filterState: new FilterState(connection.filterState),
      dynamicMetadata: new Map(connection.dynamicMetadata),
      trafficDirection: config.listener?.trafficDirection ?? 'unspecified',
    };
    config.stats.requests.add();
    config.stats.activeRequests.add();
    const { clock } = config.engine;
    const { requestMs, streamIdleMs } = config.timeouts;
    if (requestMs > 0) this.cancelRequestTimer = clock.schedule(requestMs, () => this.requestTimedOut());
    if (streamIdleMs > 0) this.idle = new IdleTimer(clock, streamIdleMs, () => this.idleTimedOut());
  }

  get chosenRoute(): ChosenRoute | undefined {
    return this.lookup?.kind === 'route' ? this.lookup.route : undefined;
  }

  // ── from the codec ──

  onHeaders(headers: HeaderMap, end: boolean): void {
    const { config, info } = this;
    info.requestHeaders = headers;
    this.grpc = isGrpcContentType(headers.get('content-type'));
    this.noteRequestEnd(end);
    if (headers.get('expect')?.toLowerCase() === '100-continue' && !config.proxy100Continue) {
      headers.delete('expect');
      this.stream.sendInformational(HeaderMap.response(100));
    }
    const refused = prepareRequest(headers, info, config);
    if (refused !== undefined) {
      // As Envoy, which looks for a route only once it knows the scheme.
      if (headers.has('x-forwarded-proto')) this.findRoute();
      // As Envoy: after a path that makes no sense the next one isn't tried; a redirect asks for it.
      if (refused.details === 'path_normalization_failed' && refused.status !== 307) {
        this.stream.endConnection?.();
      }
      this.sendLocalReply(refused);
      return;
    }
    this.findRoute();
    this.armDuration();
    this.applyRouteIdleTimeout();
    if (!this.upgradeAllowed(headers)) {
      this.sendLocalReply({ status: 403, details: 'upgrade_failed' });
      return;
    }
    this.startFilters();
    this.requestPass?.push({ kind: 'headers', headers, end });
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.complete) return;
    this.idle?.touch();
    this.info.bytesReceived += chunk.length;
    this.noteRequestEnd(end);
    this.requestPass?.push({ kind: 'data', chunk, end });
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.complete) return;
    this.noteRequestEnd(true);
    this.requestPass?.push({ kind: 'trailers', trailers });
  }

  onReset(reason: ResetReason, details?: string): void {
    if (this.complete) return;
    const { info } = this;
    switch (reason) {
      case 'protocol-error':
        info.responseFlags.add('DPE');
        info.responseCodeDetails = details ?? 'http.protocol_error';
        break;
      case 'connection-termination':
        info.responseFlags.add('DC');
        info.responseCodeDetails = 'downstream_remote_disconnect';
        break;
      default:
        this.config.stats.receivedResets.add();
        info.responseFlags.add('DR');
        info.responseCodeDetails = 'http2.remote_reset';
    }
    if (!this.headersSent) info.responseCode = 0;
    this.finish();
  }

  onDrain(): void {
    this.idle?.touch();
    if (this.responseHolds === 0) return;
    this.responseHolds = 0;
    if (this.responsePass?.stopped !== true) this.router?.resumeResponse();
  }

  /** The codec couldn't make sense of the request. */
  onBadRequest(error: BadRequest): void {
    if (error.headers !== undefined) this.info.requestHeaders ??= error.headers;
    if (error.status === 431) this.config.stats.tooLarge.add();
    if (error.status === 408) {
      this.config.stats.headerTimeouts.add();
      this.sendLocalReply({ status: 408, body: 'request header timeout', details: error.details });
      return;
    }
    this.config.stats.protocolErrors.add();
    const bodies: Readonly<Record<number, string>> = {
      400: 'Bad Request',
      404: 'Not Found',
      426: 'Upgrade Required',
      431: 'Request Header Fields Too Large',
      501: 'Not Implemented',
    };
    this.sendLocalReply({
      status: error.status,
      details: error.details,
      ...(error.details === 'missing_host_header'
        ? {}
        : { body: bodies[error.status] ?? '', flag: 'DPE' as const }),
    });
  }

  // ── for filters ──

  continueRequest(): void {
    this.requestPass?.resume();
  }

  continueResponse(): void {
    this.responsePass?.resume();
  }

  bufferRequestBody(limitBytes: number): void {
    if (this.requestEnded) return;
    this.requestPass?.collectBody(limitBytes, () => {
      this.sendLocalReply({
        status: 413,
        body: 'Payload Too Large',
        details: 'request_payload_too_large',
      });
    });
  }

  clearRouteCache(): void {
    this.routeKnown = false;
  }

  route(): RouteInfo | undefined {
    this.findRoute();
    return this.chosenRoute;
  }

  resetStream(): void {
    this.breakResponse('local-reset');
  }

  /** Also for the router: there is no answer from upstream. */
  sendLocalReply(reply: LocalReply): void {
    if (this.complete || this.replied) return;
    const { info, config } = this;
    info.responseCodeDetails = reply.details;
    if (reply.flag !== undefined) info.responseFlags.add(reply.flag);
    if (reply.flag === 'NR') config.stats.noRoute.add();
    if (reply.flag === 'NC') config.stats.noCluster.add();
    if (this.headersSent) {
      this.breakResponse('local-reset');
      return;
    }
    this.replied = true;
    this.requestPass?.close();
    this.router?.destroy();
    info.responseCode = reply.status;
    const { headers, body } = buildLocalReply(reply, info, {
      grpc: this.grpc,
      head: info.requestHeaders?.method === 'HEAD',
      mutate: this.routeMutates(reply) ? this.chosenRoute : undefined,
      map: config.localReply,
    });
    if (reply.details === 'direct_response') {
      config.stats.directResponses.add();
    }
    info.responseHeaders = headers;
    // A reply replaces what the response's filters were at.
    this.responsePass?.close();
    this.responsePass = this.createResponsePass();
    this.responseStarted = true;
    this.responsePass.push({ kind: 'headers', headers, end: body.length === 0 });
    if (body.length > 0) this.responsePass?.push({ kind: 'data', chunk: body, end: true });
  }

  /** A route that answers by itself changes no other answer. */
  private routeMutates(reply: LocalReply): boolean {
    if (reply.unrouted === true) return false;
    return reply.details === 'direct_response' || this.chosenRoute?.route.action.kind === 'forward';
  }

  // ── for the router ──

  respondInformational(headers: HeaderMap): void {
    if (this.complete || this.headersSent) return;
    // We answered the expectation ourselves.
    if (headers.status === 100 && !this.config.proxy100Continue) return;
    this.stream.sendInformational(headers);
  }

  respondHeaders(headers: HeaderMap, end: boolean): void {
    if (this.complete || this.replied) return;
    this.responseStarted = true;
    this.responsePass ??= this.createResponsePass();
    this.responsePass.push({ kind: 'headers', headers, end });
  }

  respondData(chunk: Buffer, end: boolean): void {
    if (this.complete || this.replied) return;
    this.idle?.touch();
    this.responsePass?.push({ kind: 'data', chunk, end });
  }

  respondTrailers(trailers: HeaderMap): void {
    if (this.complete || this.replied) return;
    this.responsePass?.push({ kind: 'trailers', trailers });
  }

  breakResponse(reason: ResetReason): void {
    if (this.complete) return;
    this.stream.reset(reason);
    this.finish();
  }

  holdRequest(): void {
    if (++this.requestHolds === 1) this.stream.pauseReading();
  }

  releaseRequest(): void {
    if (this.requestHolds > 0 && --this.requestHolds === 0 && !this.complete) this.stream.resumeReading();
  }

  onTunnel(): void {
    this.cancelRequestTimer();
  }

  // ── inside ──

  private findRoute(): void {
    if (this.routeKnown || this.info.requestHeaders === undefined) return;
    this.routeKnown = true;
    this.lookup = this.config.routes()?.find(this.info.requestHeaders, this.info, this.random);
    const route = this.chosenRoute;
    if (route === undefined) delete this.info.route;
    else this.info.route = route;
  }

  private upgradeAllowed(headers: HeaderMap): boolean {
    const type =
      headers.protocol ??
      (headers.method === 'CONNECT' && this.chosenRoute !== undefined ? 'CONNECT' : undefined);
    if (type === undefined) return true;
    const action = this.chosenRoute?.route.action;
    const own = action?.kind === 'forward' ? action.forward.upgrades.get(type.toUpperCase()) : undefined;
    if (own !== undefined) return own.enabled;
    // Unrouted: the router says 404.
    if (this.chosenRoute === undefined) return true;
    return this.config.upgrades.get(type.toUpperCase()) ?? false;
  }

  private startFilters(): void {
    const { config, info } = this;
    const route = this.chosenRoute;
    for (const { name, filter, disabled } of config.filters) {
      const own = route?.filterConfig(name);
      if (own === FILTER_DISABLED || (disabled && own === undefined)) continue;
      const created = filter.create(info);
      if (created !== undefined) this.filters.push(created);
    }
    this.router = new Router(this, config.router);
    this.requestPass = new FilterPass({
      filters: this.filters,
      invoke: (filter, event) => this.askRequest(filter, event),
      deliver: (event) => this.deliverRequest(event),
      hold: () => this.holdRequest(),
      release: () => this.releaseRequest(),
      onError: (error) => this.filterFailed(error),
    });
  }

  private redirectToTls(headers: HeaderMap): void {
    this.sendLocalReply({
      status: 301,
      details: 'direct_response',
      headers: [['location', httpsLocation(headers)]],
    });
  }

  private createResponsePass(): FilterPass {
    return new FilterPass({
      filters: this.filters.toReversed(),
      invoke: (filter, event) => this.askResponse(filter, event),
      deliver: (event) => this.deliverResponse(event),
      hold: () => this.router?.pauseResponse(),
      release: () => {
        if (this.responseHolds === 0) this.router?.resumeResponse();
      },
      onError: (error) => this.filterFailed(error),
    });
  }

  private askRequest(filter: HttpFilter, event: MessageEvent): FilterStatus {
    switch (event.kind) {
      case 'headers':
        return filter.onRequestHeaders?.(event.headers, event.end, this) ?? 'continue';
      case 'data':
        return filter.onRequestData?.(event.chunk, event.end, this) ?? 'continue';
      case 'trailers':
        return filter.onRequestTrailers?.(event.trailers, this) ?? 'continue';
    }
  }

  private askResponse(filter: HttpFilter, event: MessageEvent): FilterStatus {
    switch (event.kind) {
      case 'headers':
        return filter.onResponseHeaders?.(event.headers, event.end, this) ?? 'continue';
      case 'data':
        return filter.onResponseData?.(event.chunk, event.end, this) ?? 'continue';
      case 'trailers':
        return filter.onResponseTrailers?.(event.trailers, this) ?? 'continue';
    }
  }

  private deliverRequest(event: MessageEvent): void {
    const { router } = this;
    if (router === undefined) return;
    switch (event.kind) {
      case 'headers':
        this.findRoute();
        if (this.lookup?.kind === 'require-tls') this.redirectToTls(event.headers);
        else router.onHeaders(event.headers, event.end);
        return;
      case 'data':
        router.onData(event.chunk, event.end);
        return;
      case 'trailers':
        router.onTrailers(event.trailers);
    }
  }

  private deliverResponse(event: MessageEvent): void {
    const { info, stream } = this;
    switch (event.kind) {
      case 'headers': {
        finishResponse(event.headers, info, this.config);
        info.responseHeaders = event.headers;
        info.responseCode = event.headers.status ?? 0;
        info.timings.downstreamFirstByteSent ??= performance.now();
        this.headersSent = true;
        // The codec consumes what concerns one hop; the log still wants to see it.
        stream.sendHeaders(event.headers.clone(), event.end);
        if (event.end) this.finish();
        return;
      }
      case 'data': {
        info.bytesSent += event.chunk.length;
        const room = stream.sendData(event.chunk, event.end);
        if (event.end) this.responseEnded();
        else if (!room && !this.complete) {
          this.responseHolds = 1;
          this.router?.pauseResponse();
        }
        return;
      }
      case 'trailers':
        info.responseTrailers = event.trailers;
        stream.sendTrailers(event.trailers);
        this.finish();
    }
  }

  private responseEnded(): void {
    const tunnel =
      this.info.requestHeaders?.protocol !== undefined || this.info.requestHeaders?.method === 'CONNECT';
    // A half-closed tunnel lives on in the other direction.
    if (tunnel && !this.requestEnded && !this.replied) this.awaitingRequestEnd = true;
    else this.finish();
  }
  private awaitingRequestEnd = false;

  private noteRequestEnd(end: boolean): void {
    if (!end || this.requestEnded) return;
    this.requestEnded = true;
    this.cancelRequestTimer();
    this.info.timings.requestComplete ??= performance.now();
    if (this.awaitingRequestEnd) queueMicrotask(() => this.finish());
  }

  private filterFailed(error: unknown): void {
    this.engine.logger.error('an HTTP filter failed', { error: describeError(error) });
    this.sendLocalReply({ status: 500, body: '', details: 'filter_failed' });
  }

  private armDuration(): void {
    const action = this.chosenRoute?.route.action;
    const forward = action?.kind === 'forward' ? action.forward : undefined;
    let ms = forward?.maxStreamDurationMs ?? this.config.timeouts.maxStreamMs;
    let fired = ms > 0;
    const headers = this.grpc ? this.info.requestHeaders : undefined;
    if (forward?.grpcTimeoutHeaderMaxMs !== undefined) {
      const cap = forward.grpcTimeoutHeaderMaxMs;
      const asked = parseGrpcTimeout(headers?.get('grpc-timeout'));
      if (asked !== undefined) {
        ms = cap > 0 ? Math.min(asked, cap) : asked;
        fired = true;
      }
    }
    if (!fired) return;
    if (headers?.has('grpc-timeout') === true) headers.set('grpc-timeout', grpcTimeoutText(ms));
    this.cancelDurationTimer = this.engine.clock.schedule(ms, () => {
      this.config.stats.maxStreamDurations.add();
      this.sendLocalReply({
        status: this.requestEnded ? 504 : 408,
        body: 'downstream duration timeout',
        details: 'max_duration_timeout',
        grpcStatus: 4,
      });
    });
  }

  private applyRouteIdleTimeout(): void {
    const action = this.chosenRoute?.route.action;
    const ms = action?.kind === 'forward' ? action.forward.idleTimeoutMs : undefined;
    if (ms === undefined) return;
    this.idle?.stop();
    this.idle = ms > 0 ? new IdleTimer(this.engine.clock, ms, () => this.idleTimedOut()) : undefined;
  }

  private idleTimedOut(): void {
    this.config.stats.streamIdleTimeouts.add();
    this.sendLocalReply({
      status: this.requestEnded ? 504 : 408,
      body: 'stream timeout',
      details: 'stream_idle_timeout',
      flag: 'SI',
    });
  }

  private requestTimedOut(): void {
    this.config.stats.timeouts.add();
    this.sendLocalReply({ status: 408, body: 'request timeout', details: 'request_overall_timeout' });
  }

  private finish(): void {
    if (this.complete) return;
    this.complete = true;
    this.idle?.stop();
    this.cancelRequestTimer();
    this.cancelDurationTimer();
    this.requestPass?.close();
    this.responsePass?.close();
    this.router?.destroy();
    const { info, config } = this;
    info.timings.downstreamLastByteSent ??= performance.now();
    info.timings.end ??= performance.now();
    for (const filter of this.filters) this.guard(() => filter.onComplete?.(info));
    for (const filter of this.filters) this.guard(() => filter.onDestroy?.());
    config.stats.activeRequests.sub();
    config.stats.response(info.responseCode ?? 0, info.timings.end - info.timings.start);
    this.guard(() => config.accessLog.log(info));
    this.owner.onComplete(this);
  }

  private guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.engine.logger.error('an HTTP filter failed', { error: describeError(error) });
    }
  }
}
