import { describeError } from '@weft/telemetry';
import {
  HeaderMap,
  type ConnectionInfo,
  type Engine,
  type LocalReply,
  type RouteInfo,
  type StreamCallbacks,
  type StreamInfo,
} from '../../engine/types.ts';
import { isGrpcContentType } from '../../matching/index.ts';
import type { BadRequest, HttpServerStream, HttpStreamEvents, ResetReason } from '../codec.ts';
import { Router } from '../router/router.ts';
import type { RouterHost } from '../router/router-host.ts';
import { redirectToTls } from '../router/redirect.ts';
import type { ChosenRoute } from '../route/route.ts';
import type { ManagerConfig } from './config.ts';
import { downstreamReset, payloadTooLarge, replyOfBadRequest } from './early-end.ts';
import { ExchangeFilters, type FilterEnd } from './exchange-filters.ts';
import { ExchangeTimers } from './exchange-timers.ts';
import type { MessageEvent } from './filter-pass.ts';
import { buildLocalReply } from './local-reply.ts';
import { newStreamInfo } from './new-stream-info.ts';
import { prepareRequest } from './prepare-request.ts';
import { ResponseWriter } from './response-writer.ts';
import { RouteChoice } from './route-choice.ts';
import { upgradeAllowed } from './upgrades.ts';

/** What an exchange tells its connection. */
export interface ExchangeOwner {
  onComplete(exchange: Exchange): void;
}

/**
 * One request and its response, from the codec through the filters to the router and back.
 *
 *   codec ─► prepare ─► route ─► filters ─► router ─► cluster
 *   codec ◄─ finish  ◄── filters in reverse ◄─┘
 *
 *   request:   open ─last byte─► ended
 *   response:  none ─head─► sent ─last byte─► complete;   none ─local reply─► replied ─► sent
 *   complete:  also by a reset from either side; a tunnel waits for both directions
 */
export class Exchange implements HttpStreamEvents, RouterHost, StreamCallbacks {
  readonly info: StreamInfo;
  readonly engine: Engine;
  readonly bufferLimitBytes: number;
  private readonly config: ManagerConfig;
  readonly stream: HttpServerStream;
  private readonly owner: ExchangeOwner;
  private readonly timers: ExchangeTimers;
  private readonly routing: RouteChoice;
  private readonly filters: ExchangeFilters;
  private readonly writer: ResponseWriter;
  private router: Router | undefined;
  /** The client speaks gRPC, whatever filters make of its request. */
  private grpc = false;
  private requestEnded = false;
  /** The answer is our own: nothing of the upstream's passes any more. */
  private replied = false;
  /** A tunnel's response has ended, its request hasn't. */
  private awaitingRequestEnd = false;
  private complete = false;
  private requestHolds = 0;
  private responseHeld = false;

  private readonly toRouter: FilterEnd = {
    deliver: (event) => this.deliverRequest(event),
    hold: () => this.holdRequest(),
    release: () => this.releaseRequest(),
  };

  private readonly toClient: FilterEnd = {
    deliver: (event) => this.deliverResponse(event),
    hold: () => this.router?.pauseResponse(),
    release: () => {
      if (!this.responseHeld) this.router?.resumeResponse();
    },
  };

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
    this.info = newStreamInfo(config, connection, stream);
    this.routing = new RouteChoice(config, this.info);
    this.filters = new ExchangeFilters(this, (error) => this.filterFailed(error));
    this.writer = new ResponseWriter(stream, this.info, config);
    config.stats.requestBegun();
    this.timers = new ExchangeTimers(config, (reply) => this.sendLocalReply(reply));
  }

  get chosenRoute(): ChosenRoute | undefined {
    return this.routing.chosen;
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
      if (headers.has('x-forwarded-proto')) this.routing.find();
      // As Envoy: after a path that makes no sense the next one isn't tried; a redirect asks for it.
      if (refused.details === 'path_normalization_failed' && refused.status !== 307) {
        this.stream.endConnection?.();
      }
      this.sendLocalReply(refused);
      return;
    }
    this.timers.applyRoute(headers, this.routing.find());
    if (!upgradeAllowed(headers, this.chosenRoute, config.upgrades)) {
      this.sendLocalReply({ status: 403, details: 'upgrade_failed' });
      return;
    }
    this.router = new Router(this, config.router);
    this.filters.start(config.filters, this.chosenRoute, this.toRouter);
    this.filters.request?.push({ kind: 'headers', headers, end });
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.complete) return;
    this.timers.touch();
    this.info.bytesReceived += chunk.length;
    this.noteRequestEnd(end);
    this.filters.request?.push({ kind: 'data', chunk, end });
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.complete) return;
    this.noteRequestEnd(true);
    this.filters.request?.push({ kind: 'trailers', trailers });
  }

  onReset(reason: ResetReason, details?: string): void {
    if (this.complete) return;
    const { info } = this;
    const end = downstreamReset(reason, details);
    if (end.flag === 'DR') this.config.stats.receivedResets.add();
    info.responseFlags.add(end.flag);
    info.responseCodeDetails = end.details;
    if (!this.writer.headersSent) info.responseCode = 0;
    this.finish();
  }

  onDrain(): void {
    this.timers.touch();
    if (!this.responseHeld) return;
    this.responseHeld = false;
    if (this.filters.response?.stopped !== true) this.router?.resumeResponse();
  }

  /** The codec couldn't make sense of the request. */
  onBadRequest(error: BadRequest): void {
    const { stats } = this.config;
    if (error.headers !== undefined) this.info.requestHeaders ??= error.headers;
    if (error.status === 431) stats.tooLarge.add();
    if (error.status === 408) stats.headerTimeouts.add();
    else stats.protocolErrors.add();
    this.sendLocalReply(replyOfBadRequest(error));
  }

  // ── for filters ──

  continueRequest(): void {
    this.filters.request?.resume();
  }

  continueResponse(): void {
    this.filters.response?.resume();
  }

  bufferRequestBody(limitBytes: number): void {
    if (this.requestEnded) return;
    this.filters.request?.collectBody(limitBytes, () => this.sendLocalReply(payloadTooLarge));
  }

  peekRequestBody(limitBytes: number, done: (body: Buffer, complete: boolean) => void): void {
    this.filters.request?.peekBody(limitBytes, done);
  }

  clearRouteCache(): void {
    this.routing.forget();
  }

  route(): RouteInfo | undefined {
    return this.routing.find();
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
    config.stats.localReply(reply);
    if (this.writer.headersSent) {
      this.breakResponse('local-reset');
      return;
    }
    this.replied = true;
    this.filters.request?.close();
    this.router?.destroy();
    info.responseCode = reply.status;
    const { headers, body } = buildLocalReply(reply, info, {
      grpc: this.grpc,
      head: info.requestHeaders?.method === 'HEAD',
      route: this.chosenRoute,
      map: config.localReply,
    });
    info.responseHeaders = headers;
    const response = this.filters.startResponse(this.toClient);
    response.push({ kind: 'headers', headers, end: body.length === 0 });
    if (body.length > 0) response.push({ kind: 'data', chunk: body, end: true });
  }

  // ── for the router ──

  respondInformational(headers: HeaderMap): void {
    if (!this.complete) this.writer.sendInformational(headers);
  }

  respondHeaders(headers: HeaderMap, end: boolean): void {
    if (this.complete || this.replied) return;
    this.filters.startResponse(this.toClient).push({ kind: 'headers', headers, end });
  }

  respondData(chunk: Buffer, end: boolean): void {
    if (this.complete || this.replied) return;
    this.timers.touch();
    this.filters.response?.push({ kind: 'data', chunk, end });
  }

  respondTrailers(trailers: HeaderMap): void {
    if (this.complete || this.replied) return;
    this.filters.response?.push({ kind: 'trailers', trailers });
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
    this.timers.onTunnel();
  }

  // ── inside ──

  private deliverRequest(event: MessageEvent): void {
    const { router } = this;
    if (router === undefined) return;
    switch (event.kind) {
      case 'headers':
        this.routing.find();
        if (this.routing.requiresTls) this.sendLocalReply(redirectToTls(event.headers));
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
    const room = this.writer.send(event);
    if (event.kind === 'trailers') this.finish();
    else if (event.end) this.responseComplete(event.kind);
    else if (!room && !this.complete) {
      this.responseHeld = true;
      this.router?.pauseResponse();
    }
  }

  private responseComplete(last: 'headers' | 'data'): void {
    const { requestHeaders } = this.info;
    const tunnel = requestHeaders?.protocol !== undefined || requestHeaders?.method === 'CONNECT';
    // A half-closed tunnel lives on in the other direction; one that is refused does not.
    if (tunnel && last === 'data' && !this.requestEnded && !this.replied) this.awaitingRequestEnd = true;
    else this.finish();
  }

  private noteRequestEnd(end: boolean): void {
    if (!end || this.requestEnded) return;
    this.requestEnded = true;
    this.timers.onRequestEnd();
    this.info.timings.requestComplete ??= performance.now();
    if (this.awaitingRequestEnd) queueMicrotask(() => this.finish());
  }

  private filterFailed(error: unknown): void {
    this.engine.logger.error('an HTTP filter failed', { error: describeError(error) });
    this.sendLocalReply({ status: 500, body: '', details: 'filter_failed' });
  }

  private finish(): void {
    if (this.complete) return;
    this.complete = true;
    this.timers.stop();
    this.filters.close();
    this.router?.destroy();
    const { info, config } = this;
    info.timings.downstreamLastByteSent ??= performance.now();
    info.timings.end ??= performance.now();
    this.filters.complete(info, this.engine.logger);
    config.stats.requestOver(info.responseCode ?? 0, info.timings.end - info.timings.start);
    try {
      config.accessLog.log(info);
    } catch (error) {
      this.engine.logger.error('an access log failed', { error: describeError(error) });
    }
    this.owner.onComplete(this);
  }
}
