import { envoy } from '@weft/api/envoy';
import type {
  FilterStatus,
  HeaderMap,
  HttpFilter,
  HttpFilterFactory,
  StreamCallbacks,
  StreamInfo,
} from '../engine/types.ts';
import { grpcStatusOf } from '../access-log/index.ts';
import { isGrpcContentType } from '../matching/index.ts';
import { compileMessage } from './message.ts';

/** Where the counts are left for `istio.stats`. */
export const GRPC_COUNTS_KEY = 'envoy.filters.http.grpc_stats';

export interface GrpcMessageCounts {
  requestMessages: number;
  responseMessages: number;
}

interface GrpcStatsConfig {
  readonly emitFilterState: boolean;
  readonly allMethods: boolean;
}

/** `envoy.filters.http.grpc_stats`: messages counted by their frames, whatever the chunks. */
export const grpcStats: HttpFilterFactory = {
  name: 'envoy.filters.http.grpc_stats',
  typeUrls: ['type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig'],
  compile(config, context) {
    const { FilterConfig } = envoy.extensions.filters.http.grpc_stats.v3;
    const settings = compileMessage(
      FilterConfig,
      config,
      context,
      (message): GrpcStatsConfig => ({
        emitFilterState: message.emitFilterState,
        allMethods: message.statsForAllMethods?.value === true,
      }),
    );
    return { create: () => new GrpcStatsFilter(settings) };
  },
};

class GrpcStatsFilter implements HttpFilter {
  private readonly settings: GrpcStatsConfig;
  private readonly counts: GrpcMessageCounts = { requestMessages: 0, responseMessages: 0 };
  private readonly request = new GrpcFrameCounter();
  private readonly response = new GrpcFrameCounter();
  private grpc = false;

  constructor(settings: GrpcStatsConfig) {
    this.settings = settings;
  }

  onRequestHeaders(headers: HeaderMap, _endStream: boolean, { info }: StreamCallbacks): FilterStatus {
    this.grpc = isGrpcContentType(headers.get('content-type'));
    if (this.grpc && this.settings.emitFilterState) info.filterState.set(GRPC_COUNTS_KEY, this.counts);
    return 'continue';
  }

  onRequestData(chunk: Buffer): FilterStatus {
    if (this.grpc) this.counts.requestMessages += this.request.count(chunk);
    return 'continue';
  }

  onResponseData(chunk: Buffer): FilterStatus {
    if (this.grpc) this.counts.responseMessages += this.response.count(chunk);
    return 'continue';
  }

  onComplete(info: StreamInfo): void {
    if (!this.grpc || info.upstream === undefined) return;
    const [, service = '', method = ''] = (info.requestHeaders?.path ?? '').split('/', 3);
    const base = info.upstream.cluster.stats.scope('grpc');
    // Methods come from clients: without the option they must not make statistics.
    const scope = this.settings.allMethods ? base.scope(`${service}.${method}`) : base;
    const status = grpcStatusOf(info);
    scope.counter(String(status ?? 2)).add();
    scope.counter(status === 0 ? 'success' : 'failure').add();
    scope.counter('total').add();
    scope.counter('request_message_count').add(this.counts.requestMessages);
    scope.counter('response_message_count').add(this.counts.responseMessages);
  }
}

/** Counts length-prefixed messages (5 bytes of head, then the body) over chunks cut anywhere. */
export class GrpcFrameCounter {
  private headBytes = 0;
  private length = 0;
  private bodyLeft = 0;

  /** @returns how many messages begin in the chunk. */
  count(chunk: Buffer): number {
    let started = 0;
    for (let i = 0; i < chunk.length; ) {
      if (this.bodyLeft > 0) {
        const skipped = Math.min(this.bodyLeft, chunk.length - i);
        this.bodyLeft -= skipped;
        i += skipped;
        continue;
      }
      if (this.headBytes > 0) this.length = this.length * 256 + (chunk[i] ?? 0);
      this.headBytes++;
      i++;
      if (this.headBytes < 5) continue;
      started++;
      this.bodyLeft = this.length;
      this.headBytes = 0;
      this.length = 0;
    }
    return started;
  }
}
