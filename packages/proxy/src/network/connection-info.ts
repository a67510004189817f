import {
  FilterState,
  type ConnectionInfo,
  type Metadata,
  type SocketAddress,
  type StreamInfo,
} from '../engine/types.ts';

let lastConnectionId = 0;

/** A fresh record; ids are unique in the process, as CONNECTION_ID prints them. */
export function createConnectionInfo(o: {
  readonly remoteAddress: SocketAddress;
  readonly localAddress: SocketAddress;
  readonly filterState?: FilterState;
  readonly dynamicMetadata?: Metadata;
  readonly startTimeMs: number;
}): ConnectionInfo {
  return {
    id: ++lastConnectionId,
    remoteAddress: o.remoteAddress,
    directRemoteAddress: o.remoteAddress,
    localAddress: o.localAddress,
    directLocalAddress: o.localAddress,
    localAddressRestored: false,
    transportProtocol: 'raw_buffer',
    applicationProtocols: [],
    filterState: o.filterState ?? new FilterState(),
    dynamicMetadata: o.dynamicMetadata ?? new Map(),
    startTimeMs: o.startTimeMs,
  };
}

/** The record of a TCP session on a connection, beginning now. */
export function createTcpStreamInfo(
  connection: ConnectionInfo,
  trafficDirection: StreamInfo['trafficDirection'],
): StreamInfo {
  return {
    kind: 'tcp',
    connection,
    startTimeMs: connection.startTimeMs,
    timings: { start: performance.now() },
    responseFlags: new Set(),
    attemptCount: 0,
    bytesReceived: 0,
    bytesSent: 0,
    remoteAddress: connection.remoteAddress,
    streamId: String(connection.id),
    filterState: connection.filterState,
    dynamicMetadata: connection.dynamicMetadata,
    trafficDirection,
  };
}
