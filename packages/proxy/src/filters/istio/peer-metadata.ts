import { io } from '@weft/api/envoy';
import type {
  CompileContext,
  Engine,
  FilterStatus,
  HeaderMap,
  HttpFilter,
  HttpFilterFactory,
  StreamCallbacks,
  WorkloadMetadata,
} from '../../engine/types.ts';
import { compileMessage } from '../message.ts';
import {
  baggageOfNode,
  headersOfNode,
  PEER_METADATA,
  PEER_METADATA_ID,
  peerOfHeaders,
} from './peer-headers.ts';
import {
  DOWNSTREAM_PEER_KEY,
  parseBaggagePeer,
  peerByAddress,
  UPSTREAM_PEER_KEY,
  upstreamPeer,
} from './peer.ts';

type Method = 'baggage' | 'workloadDiscovery' | 'istioHeaders';

/** What is told to a side: header fields, made once. */
interface Propagation {
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Not to clusters outside the mesh. */
  readonly skipExternal: boolean;
}

interface Settings {
  readonly downstream: readonly Method[];
  readonly upstream: readonly Method[];
  readonly toDownstream: readonly Propagation[];
  readonly toUpstream: readonly Propagation[];
  readonly sharedWithUpstream: boolean;
}

const METADATA_HEADERS = [PEER_METADATA, PEER_METADATA_ID];
/** Istio's clusters for what it knows no service of. */
const PASSTHROUGH_CLUSTERS: ReadonlySet<string> = new Set([
  'PassthroughCluster',
  'InboundPassthroughCluster',
]);

/** Istio's peer metadata filter: who is on either side, left in filter state for metrics and logs. */
export const peerMetadata: HttpFilterFactory = {
  name: 'envoy.filters.http.peer_metadata',
  typeUrls: ['type.googleapis.com/io.istio.http.peer_metadata.Config'],
  compile(config, context) {
    const { engine } = context;
    const { Config } = io.istio.http.peer_metadata;
    const settings = compileMessage(
      Config,
      config,
      context,
      (message): Settings => ({
        downstream: message.downstreamDiscovery.flatMap(methodOf),
        upstream: message.upstreamDiscovery.flatMap(methodOf),
        toDownstream: message.downstreamPropagation.flatMap((method) => propagationOf(method, context)),
        toUpstream: message.upstreamPropagation.flatMap((method) => propagationOf(method, context)),
        sharedWithUpstream: message.sharedWithUpstream,
      }),
    );
    return { create: () => new PeerMetadataFilter(settings, engine) };
  },
};

function methodOf(method: io.istio.http.peer_metadata.Config.DiscoveryMethod.$Properties): readonly Method[] {
  return method.methodSpecifier ? [method.methodSpecifier] : [];
}

function propagationOf(
  { methodSpecifier, istioHeaders }: io.istio.http.peer_metadata.Config.PropagationMethod.$Properties,
  { engine }: CompileContext,
): readonly Propagation[] {
  switch (methodSpecifier) {
    case 'istioHeaders':
      return [
        { fields: headersOfNode(engine.node), skipExternal: istioHeaders?.skipExternalClusters === true },
      ];
    case 'baggage':
      return [{ fields: [['baggage', baggageOfNode(engine.node)]], skipExternal: false }];
    default:
      return [];
  }
}

class PeerMetadataFilter implements HttpFilter {
  private readonly settings: Settings;
  private readonly engine: Engine;
  /** The client tells and wants to be told. */
  private exchanging = false;

  constructor(settings: Settings, engine: Engine) {
    this.settings = settings;
    this.engine = engine;
  }

  onRequestHeaders(headers: HeaderMap, _endStream: boolean, callbacks: StreamCallbacks): FilterStatus {
    const { info } = callbacks;
    const { downstream, sharedWithUpstream, toUpstream } = this.settings;
    this.exchanging = METADATA_HEADERS.some((name) => headers.has(name));
    const peer = first(downstream, (method) => {
      switch (method) {
        case 'workloadDiscovery':
          return peerByAddress(this.engine.workloads, info.connection.remoteAddress);
        case 'baggage':
          return baggagePeer(headers);
        case 'istioHeaders':
          return peerOfHeaders(headers);
      }
    });
    const options = { sharedWithUpstream: sharedWithUpstream ? 'once' : 'none' } as const;
    if (peer !== undefined) info.filterState.set(DOWNSTREAM_PEER_KEY, peer, options);
    // Whoever sent them, they are claims of a neighbour and end here.
    for (const name of METADATA_HEADERS) headers.delete(name);
    const external = toUpstream.some(({ skipExternal }) => skipExternal) && this.leavesMesh(callbacks);
    for (const { fields, skipExternal } of toUpstream) {
      if (skipExternal && external) continue;
      for (const [name, value] of fields) headers.set(name, value);
    }
    return 'continue';
  }

  onResponseHeaders(headers: HeaderMap, _endStream: boolean, { info }: StreamCallbacks): FilterStatus {
    const { upstream, toDownstream } = this.settings;
    const peer = first(upstream, (method) => {
      switch (method) {
        case 'workloadDiscovery':
          return upstreamPeer(info, this.engine.workloads);
        case 'istioHeaders':
          return peerOfHeaders(headers);
        case 'baggage':
          return baggagePeer(headers);
      }
    });
    if (peer !== undefined) info.filterState.set(UPSTREAM_PEER_KEY, peer);
    for (const name of METADATA_HEADERS) headers.delete(name);
    for (const { fields } of toDownstream) {
      for (const [name, value] of fields) {
        if (this.exchanging || !METADATA_HEADERS.includes(name)) headers.set(name, value);
      }
    }
    return 'continue';
  }

  private leavesMesh(callbacks: StreamCallbacks): boolean {
    const name = callbacks.route()?.clusterName;
    if (name === undefined) return false;
    const istio = this.engine.clusters.get(name)?.metadata.get('istio');
    return PASSTHROUGH_CLUSTERS.has(name) || istio?.['external'] === true;
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
