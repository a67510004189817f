import { FilterState, type ConnectionInfo, type StreamInfo } from '../../engine/types.ts';
import type { HttpServerStream } from '../codec.ts';
import type { ManagerConfig } from './config.ts';
import { newStreamId } from './edge-headers.ts';

/** What is known of an exchange before its first header. */
export function newStreamInfo(
  { engine, listener }: ManagerConfig,
  connection: ConnectionInfo,
  { protocol }: HttpServerStream,
): StreamInfo {
  return {
    kind: 'http',
    connection,
    startTimeMs: engine.clock.now(),
    timings: { start: performance.now() },
    protocol,
    responseFlags: new Set(),
    attemptCount: 0,
    bytesReceived: 0,
    bytesSent: 0,
    remoteAddress: connection.remoteAddress,
    streamId: newStreamId(),
    filterState: new FilterState(connection.filterState),
    dynamicMetadata: new Map(connection.dynamicMetadata),
    trafficDirection: listener?.trafficDirection ?? 'unspecified',
  };
}
