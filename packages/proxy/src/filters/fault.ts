import { envoy } from '@weft/api/envoy';
import type { Clock } from '@weft/telemetry';
import type {
  FilterStatus,
  HeaderMap,
  HttpFilter,
  HttpFilterFactory,
  LocalReply,
  StatsScope,
  StreamCallbacks,
} from '../engine/types.ts';
import { at, compileHeaderMatchers, invalid, type HeaderPredicate } from '../matching/index.ts';
import { compileMessage, durationMs, fraction } from './message.ts';

const NAME = 'envoy.filters.http.fault';

interface FaultPolicy {
  readonly headers: HeaderPredicate;
  readonly upstreamCluster: string;
  readonly maxActiveFaults: number;
  readonly delay?: { readonly ms: number; readonly share: number };
  readonly abort?: { readonly reply: LocalReply; readonly share: number };
}

interface Shared {
  readonly name: string;
  readonly own: FaultPolicy;
  readonly clock: Clock;
  readonly random: () => number;
  readonly stats: StatsScope;
  active: number;
}

/** `envoy.filters.http.fault`: delays and aborts a share of the requests. */
export const fault: HttpFilterFactory = {
  name: NAME,
  typeUrls: ['type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault'],
  routeTypeUrls: ['type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault'],
  compile(config, context) {
    const { clock, stats } = context.engine;
    const shared: Shared = {
      name: context.filterName ?? NAME,
      own: compileMessage(envoy.extensions.filters.http.fault.v3.HTTPFault, config, context, compileFault),
      clock,
      random: () => context.engine.random(),
      stats: (context.statPrefix === undefined ? stats : stats.scope(context.statPrefix)).scope('fault'),
      active: 0,
    };
    return { create: () => new FaultFilter(shared) };
  },
  compileRoute: (config, context): FaultPolicy =>
    compileMessage(envoy.extensions.filters.http.fault.v3.HTTPFault, config, context, compileFault),
};

function compileFault(config: envoy.extensions.filters.http.fault.v3.HTTPFault): FaultPolicy {
  const { delay, abort } = config;
  if (config.responseRateLimit) invalid('is not supported', 'response_rate_limit');
  if (delay?.headerDelay) invalid('is not supported', 'delay.header_delay');
  if (abort?.headerAbort) invalid('is not supported', 'abort.header_abort');
  return {
    headers: at('headers', () => compileHeaderMatchers(config.headers)),
    upstreamCluster: config.upstreamCluster,
    maxActiveFaults: config.maxActiveFaults?.value ?? Infinity,
    ...(delay
      ? {
          delay: {
            ms: at('delay.fixed_delay', () => durationMs(delay.fixedDelay) ?? 0),
            share: fraction(delay.percentage),
          },
        }
      : {}),
    ...(abort ? { abort: { reply: abortReply(abort), share: fraction(abort.percentage) } } : {}),
  };
}

function abortReply(abort: envoy.extensions.filters.http.fault.v3.FaultAbort.$Properties): LocalReply {
  const reply = { body: 'fault filter abort', details: 'fault_filter_abort', flag: 'FI' } as const;
  if (abort.errorType === 'grpcStatus') return { ...reply, status: 200, grpcStatus: abort.grpcStatus ?? 0 };
  const status = abort.httpStatus ?? 0;
  if (status < 200 || status > 599) invalid(`${status} is no status of a response`, 'abort.http_status');
  return { ...reply, status };
}

class FaultFilter implements HttpFilter {
  private readonly shared: Shared;
  private cancelDelay: (() => void) | undefined;
  private counted = false;

  constructor(shared: Shared) {
    this.shared = shared;
  }

  onRequestHeaders(headers: HeaderMap, _endStream: boolean, callbacks: StreamCallbacks): FilterStatus {
    const { shared } = this;
    const route = callbacks.route();
    // compileRoute of this filter made it; the route table only keeps it.
    const policy = (route?.filterConfig(shared.name) as FaultPolicy | undefined) ?? shared.own;
    if (policy.upstreamCluster !== '' && policy.upstreamCluster !== route?.clusterName) return 'continue';
    if (!policy.headers(headers)) return 'continue';
    const delay = this.hits(policy.delay) ? policy.delay : undefined;
    const abort = this.hits(policy.abort) ? policy.abort : undefined;
    if (delay === undefined && abort === undefined) return 'continue';
    if (shared.active >= policy.maxActiveFaults) {
      shared.stats.counter('faults_overflow').add();
      return 'continue';
    }
    this.counted = true;
    shared.active++;
    shared.stats.gauge('active_faults').set(shared.active);
    if (delay === undefined) return this.abort(abort?.reply, callbacks);
    shared.stats.counter('delays_injected').add();
    callbacks.info.responseFlags.add('DI');
    this.cancelDelay = shared.clock.schedule(delay.ms, () => {
      this.cancelDelay = undefined;
      if (abort === undefined) {
        this.release();
        callbacks.continueRequest();
      } else this.abort(abort.reply, callbacks);
    });
    return 'stop';
  }

  onDestroy(): void {
    this.cancelDelay?.();
    this.release();
  }

  private hits(part: { readonly share: number } | undefined): boolean {
    return part !== undefined && (part.share >= 1 || this.shared.random() < part.share);
  }

  private abort(reply: LocalReply | undefined, callbacks: StreamCallbacks): FilterStatus {
    if (reply === undefined) return 'continue';
    this.shared.stats.counter('aborts_injected').add();
    callbacks.sendLocalReply(reply);
    return 'stop';
  }

  private release(): void {
    if (!this.counted) return;
    this.counted = false;
    this.shared.active--;
    this.shared.stats.gauge('active_faults').set(this.shared.active);
  }
}
