import { readFileSync } from 'node:fs';
import grpc from '@grpc/grpc-js';
import { envoy } from '@weft/api/envoy';
import type { Node } from '@weft/xds';
import { WeftError } from '@weft/telemetry';
import type { AdsAccess } from '../engine/embedding.ts';
import { compileUpstreamTls } from '../upstream/config/tls-context.ts';
import type { Bootstrap } from './bootstrap.ts';
import { TYPE_PREFIX } from './typed-config.ts';

const { ApiType } = envoy.config.core.v3.ApiConfigSource;
const UPSTREAM_TLS = `${TYPE_PREFIX}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext`;

/** How the bootstrap's `ads_config` is spoken, undefined without one. @throws WEFT2103 */
export function adsProtocol(bootstrap: Bootstrap): 'delta' | 'sotw' | undefined {
  const ads = bootstrap.dynamicResources?.adsConfig;
  if (!ads) return undefined;
  switch (ads.apiType) {
    case ApiType.DELTA_GRPC:
    case ApiType.AGGREGATED_DELTA_GRPC:
      return 'delta';
    case ApiType.GRPC:
    case ApiType.AGGREGATED_GRPC:
      return 'sotw';
    default:
      throw new WeftError('WEFT2103', 'dynamic_resources.ads_config.api_type must be GRPC or DELTA_GRPC');
  }
}

/**
 * How to reach the server of `ads_config` by what the bootstrap says: the first endpoint of a static cluster, with the
 * files of its TLS context. What rotates otherwise is an `Embedding`'s to supply. @throws WEFT2103
 */
export function adsAccess(bootstrap: Bootstrap): AdsAccess {
  const [service] = bootstrap.dynamicResources?.adsConfig?.grpcServices ?? [];
  const headers = (service?.initialMetadata ?? []).map(({ key, value }) => [key ?? '', value ?? ''] as const);
  const node: Node = bootstrap.node ?? {};
  if (service?.googleGrpc) {
    const address = service.googleGrpc.targetUri ?? '';
    return { address, credentials: () => grpc.credentials.createInsecure(), headers: () => headers, node };
  }
  const name = service?.envoyGrpc?.clusterName ?? '';
  const cluster = bootstrap.staticResources?.clusters?.find((c) => c.name === name);
  const address = cluster?.loadAssignment?.endpoints?.[0]?.lbEndpoints?.[0]?.endpoint?.address?.socketAddress;
  if (cluster === undefined || !address) {
    throw new WeftError('WEFT2103', `ads_config names cluster "${name}", which has no static endpoint`);
  }
  return {
    address: `${address.address ?? ''}:${address.portValue ?? 0}`,
    credentials: credentialsOf(cluster, name),
    headers: () => headers,
    node,
  };
}

function credentialsOf(
  cluster: envoy.config.cluster.v3.Cluster.$Properties,
  name: string,
): () => grpc.ChannelCredentials {
  const socket = cluster.transportSocket?.typedConfig;
  if (!socket) return () => grpc.credentials.createInsecure();
  if (socket.type_url !== UPSTREAM_TLS) {
    throw new WeftError(
      'WEFT2103',
      `cluster "${name}" of ads_config: transport socket ${socket.type_url} is not supported`,
    );
  }
  const bytes = socket.value ?? new Uint8Array();
  return () => {
    const { validation, certificate } = compileUpstreamTls(bytes);
    const ca = validation?.base?.trustedCa;
    const roots = ca?.filename ? readFileSync(ca.filename) : (ca?.inlineString ?? ca?.inlineBytes ?? '');
    const pair = certificate !== undefined && 'inline' in certificate ? certificate.inline : undefined;
    return grpc.credentials.createSsl(
      Buffer.from(roots),
      pair === undefined ? null : Buffer.from(pair.keyPem),
      pair === undefined ? null : Buffer.from(pair.chainPem),
    );
  };
}
