export * from './headers/authority.ts';
export * from './headers/baggage.ts';
export * from './headers/forwarded.ts';
export * from './headers/traceparent.ts';
export * from './http2/constants.ts';
export { defaultHttp2Limits, type Http2Limits } from './http2/limits.ts';
export { defaultFloodLimits, type FloodLimits } from './http2/flood-guard.ts';
export { Cancellation, type CancelSignal } from './transport/cancellation.ts';
export type { ConnectRequest, HeaderFields } from './transport/connect-request.ts';
export { defaultKeepalive, type KeepaliveOptions } from './transport/keepalive.ts';
export { ConnectRefusedError } from './transport/connect-response.ts';
export type { InnerTunnelRequest } from './transport/inner-tunnel.ts';
export { MemoryHandshake, type ProvenPair } from './transport/memory-handshake.ts';
export * from './transport/pool.ts';
export * from './transport/pool-limits.ts';
export { Reactor, type ReactorHandler } from './transport/reactor/reactor.ts';
export { ReactorListener, type ReactorListenerEvents } from './transport/reactor/reactor-listener.ts';
export { connectSocket, type ConnectOptions, ReactorSocket } from './transport/reactor/reactor-socket.ts';
export { spliceRelay } from './transport/reactor/splice-relay.ts';
export * from './transport/relay.ts';
export * from './transport/server.ts';
export type { TunnelSession } from './transport/session.ts';
export { hasPostQuantumGroup, type TlsSettings } from './transport/tls.ts';
export { TunnelResources } from './transport/tunnel-resources.ts';
export {
  isCleanEnd,
  type StreamClose,
  type TunnelStream,
  type TunnelStreamHandler,
} from './transport/tunnel-stream.ts';
