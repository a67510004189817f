import type { HeaderMap } from '../../engine/types.ts';
import { isGrpcContentType } from '../../matching/index.ts';
import { grpcTimeoutText, parseGrpcTimeout } from '../router/timeouts.ts';
import type { ForwardAction } from '../route/route.ts';

/**
 * How long the whole exchange may take: what a gRPC client asked for, if the route takes notice of it, otherwise the
 * route's limit or the connection manager's. The upstream of a gRPC request is told.
 *
 * @param defaultMs of the connection manager, 0: none.
 * @returns undefined for ever; 0 is no time at all, for a client may ask for that.
 */
export function applyStreamDuration(
  headers: HeaderMap,
  forward: ForwardAction | undefined,
  defaultMs: number,
): number | undefined {
  const grpc = isGrpcContentType(headers.get('content-type'));
  const limitMs = forward?.maxStreamDurationMs ?? defaultMs;
  const ms = askedDuration(grpc ? headers : undefined, forward) ?? (limitMs > 0 ? limitMs : undefined);
  if (ms !== undefined && grpc && headers.has('grpc-timeout')) {
    headers.set('grpc-timeout', grpcTimeoutText(ms));
  }
  return ms;
}

function askedDuration(
  headers: HeaderMap | undefined,
  forward: ForwardAction | undefined,
): number | undefined {
  const capMs = forward?.grpcTimeoutHeaderMaxMs;
  if (capMs === undefined) return undefined;
  const asked = parseGrpcTimeout(headers?.get('grpc-timeout'));
  return asked !== undefined && capMs > 0 ? Math.min(asked, capMs) : asked;
}
