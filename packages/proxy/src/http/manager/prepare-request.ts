import type { HeaderMap, LocalReply, StreamInfo } from '../../engine/types.ts';
import { isGrpcContentType } from '../../matching/index.ts';
import { withoutPort } from '../route/route-table.ts';
import type { ManagerConfig } from './config.ts';
import { applyEdgeHeaders } from './edge-headers.ts';
import { normalizeTarget } from './path-normalization.ts';

/** Checks and normalizes a request before anything looks at it. Returns the answer when it can't be served. */
export function prepareRequest(
  headers: HeaderMap,
  info: StreamInfo,
  config: ManagerConfig,
): LocalReply | undefined {
  if (headers.authority === undefined) {
    return { status: 400, details: 'missing_host_header' };
  }
  if (headers.method !== 'CONNECT') {
    if (headers.path?.startsWith('/') !== true) return { status: 404, details: 'absolute_path_rejected' };
    const refused = preparePath(headers, config);
    if (refused !== undefined) return refused;
    prepareAuthority(headers, info, config);
  } else {
    // The source of a tunnel is the peer that opened it; policy must not take another address from its words.
    headers.delete('x-forwarded-for');
  }
  applyEdgeHeaders(headers, info, config.edge);
  return undefined;
}

function preparePath(headers: HeaderMap, config: ManagerConfig): LocalReply | undefined {
  const normalized = normalizeTarget(headers.path ?? '/', config.path);
  switch (normalized.kind) {
    case 'path':
      headers.path = normalized.path;
      return undefined;
    case 'reject':
      return { status: 400, details: normalized.details };
    case 'redirect':
      // gRPC clients don't follow redirects.
      if (isGrpcContentType(headers.get('content-type'))) {
        return { status: 500, details: 'path_normalization_failed', grpcStatus: 13 };
      }
      return {
        status: 307,
        details: 'path_normalization_failed',
        headers: [['location', normalized.path]],
      };
  }
}

function prepareAuthority(headers: HeaderMap, info: StreamInfo, config: ManagerConfig): void {
  let authority = headers.authority ?? '';
  if (config.stripTrailingHostDot) authority = authority.replace(/\.(?=$|:\d+$)/, '');
  if (config.stripPort === 'any') authority = withoutPort(authority);
  else if (config.stripPort === 'matching') {
    const { localAddress } = info.connection;
    const port = localAddress.kind === 'ip' ? localAddress.port : 0;
    if (authority.endsWith(`:${port}`)) authority = withoutPort(authority);
  }
  headers.authority = authority;
}
