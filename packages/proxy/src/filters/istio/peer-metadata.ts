import { io } from '@weft/api/envoy';
import type {
  FilterStatus,
  HeaderMap,
  HttpFilter,
  HttpFilterFactory,
  StreamCallbacks,
  WorkloadDirectory,
  WorkloadMetadata,
} from '../../engine/types.ts';
import { compileMessage } from '../message.ts';
import {
  DOWNSTREAM_PEER_KEY,
  parseBaggagePeer,
  peerByAddress,
  UPSTREAM_PEER_KEY,
  upstreamPeer,
} from './peer.ts';

type Method = 'baggage' | 'workloadDiscovery' | 'istioHeaders';

interface Settings {
  readonly downstream: readonly Method[];
  readonly upstream: readonly Method[];
  readonly sharedWithUpstream: boolean;
}

const METADATA_HEADERS = ['x-envoy-peer-metadata', 'x-envoy-peer-metadata-id'];

/** Istio's peer metadata filter: who is on either side, left in filter state for metrics and logs. */
export const peerMetadata: HttpFilterFactory = {
  name: 'envoy.filters.http.peer_metadata',
  typeUrls: ['type.googleapis.com/io.istio.http.peer_metadata.Config'],
  compile(config, context) {
    const settings = compileMessage(
      io.istio.http.peer_metadata.Config,
      config,
      context,
      (message): Settings => ({
        downstream: message.downstreamDiscovery.flatMap(methodOf),
        upstream: message.upstreamDiscovery.flatMap(methodOf),
        sharedWithUpstream: message.sharedWithUpstream,
      }),
    );
    return { create: () => new PeerMetadataFilter(settings, context.engine.workloads) };
  },
};

function methodOf(method: io.istio.http.peer_metadata.Config.DiscoveryMethod.$Properties): readonly Method[] {
  return method.methodSpecifier ? [method.methodSpecifier] : [];
}

class PeerMetadataFilter implements HttpFilter {
  private readonly settings: Settings;
  private readonly directory: WorkloadDirectory | undefined;

  constructor(settings: Settings, directory: WorkloadDirectory | undefined) {
    this.settings = settings;
    this.directory = directory;
  }

  onRequestHeaders(headers: HeaderMap, _endStream: boolean, { info }: StreamCallbacks): FilterStatus {
    const { downstream, sharedWithUpstream } = this.settings;
    if (downstream.length > 0) {
      const peer = first(downstream, (method) =>
        method === 'workloadDiscovery'
          ? peerByAddress(this.directory, info.connection.remoteAddress)
          : method === 'baggage'
            ? baggagePeer(headers)
            : undefined,
      );
      const options = { sharedWithUpstream: sharedWithUpstream ? 'once' : 'none' } as const;
      if (peer !== undefined) info.filterState.set(DOWNSTREAM_PEER_KEY, peer, options);
    }
    // Whoever sent them, they are claims of a neighbour and end here.
    for (const name of METADATA_HEADERS) headers.delete(name);
    return 'continue';
  }

  onResponseHeaders(headers: HeaderMap, _endStream: boolean, { info }: StreamCallbacks): FilterStatus {
    const peer = first(this.settings.upstream, (method) =>
      method === 'workloadDiscovery' ? upstreamPeer(info, this.directory) : undefined,
    );
    if (peer !== undefined) info.filterState.set(UPSTREAM_PEER_KEY, peer);
    for (const name of METADATA_HEADERS) headers.delete(name);
    return 'continue';
  }
}

function baggagePeer(headers: HeaderMap): WorkloadMetadata | undefined {
  const baggage = headers.joined('baggage');
  return baggage === undefined ? undefined : parseBaggagePeer(baggage);
}

function first<T>(methods: readonly Method[], find: (method: Method) => T | undefined): T | undefined {
  for (const method of methods) {
    const found = find(method);
    if (found !== undefined) return found;
  }
  return undefined;
}
