import type {
  ByteStream,
  Cluster,
  Endpoint,
  StreamInfo,
  UpstreamContext,
  UpstreamFailure,
  UpstreamInfo,
} from '../../engine/types.ts';
import type { TunnelingConfig } from './config.ts';
import { openTunnel } from './tunnel.ts';

export interface ConnectHandlers {
  onConnected(stream: ByteStream, upstream: UpstreamInfo): void;
  onFailure(failure: UpstreamFailure, detail?: string): void;
}

/** One attempt to reach a host: directly, or by a tunnel through it. */
export function connectUpstream(o: {
  readonly cluster: Cluster;
  readonly endpoint: Endpoint;
  readonly context: UpstreamContext;
  readonly tunneling: TunnelingConfig | undefined;
  readonly info: StreamInfo;
  readonly handlers: ConnectHandlers;
}): { cancel(): void } {
  const { cluster, endpoint, context, tunneling, info, handlers } = o;
  if (tunneling === undefined) return cluster.connect(endpoint, context, handlers);
  return openTunnel({ cluster, endpoint, context, tunneling, info, handlers });
}
