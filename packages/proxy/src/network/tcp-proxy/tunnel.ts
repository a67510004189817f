import {
  HeaderMap,
  type ByteStream,
  type Cluster,
  type ConnectionInfo,
  type Endpoint,
  type HttpStream,
  type HttpStreamEvents,
  type StreamInfo,
  type UpstreamContext,
  type UpstreamInfo,
} from '../../engine/types.ts';
import { createConnectionInfo } from '../connection-info.ts';
import { LINGER_MS } from '../socket-stream.ts';
import type { TunnelingConfig } from './config.ts';
import type { ConnectHandlers } from './connector.ts';

const nothing = (): void => undefined;

/** Filter state of the downstream connection that holds the tunnel's response headers. */
const RESPONSE_HEADERS_KEY = 'envoy.tcp_proxy.propagate_response_headers';

/**
 * Opens a tunnel by CONNECT (or POST) on a pooled HTTP/2 connection of the cluster and gives it out as bytes once a
 * 2xx has come. Any other answer is a connect failure whose detail names the status.
 */
export function openTunnel(o: {
  readonly cluster: Cluster;
  readonly endpoint: Endpoint;
  readonly context: UpstreamContext;
  readonly tunneling: TunnelingConfig;
  readonly info: StreamInfo;
  readonly handlers: ConnectHandlers;
}): { cancel(): void } {
  const { cluster, endpoint, context, tunneling, info, handlers } = o;
  let opened: HttpStream | undefined;
  let settled = false;
  const settle = (run: () => void): void => {
    if (settled) return;
    settled = true;
    run();
  };
  const pending = cluster.openStream(
    endpoint,
    { ...context, downstreamProtocol: 'http2' },
    {
      onReady: (stream, upstream): HttpStreamEvents => {
        opened = stream;
        const bytes = new TunnelBytes(stream, tunnelInfo(info, upstream));
        // Later than this call: the events have to be in place first.
        queueMicrotask(() => {
          if (!settled) stream.sendHeaders(requestHeaders(tunneling, info), false);
        });
        return {
          onHeaders: (headers, endStream) => {
            if (tunneling.propagateResponseHeaders) info.filterState.set(RESPONSE_HEADERS_KEY, headers);
            const status = headers.status ?? 0;
            if (status >= 200 && status < 300) {
              settle(() => handlers.onConnected(bytes, upstream));
              if (endStream) bytes.ended();
              return;
            }
            settle(() => {
              endpoint.reportResult({ kind: 'response', status });
              if (!endStream) stream.reset('local-reset');
              handlers.onFailure(
                { kind: 'connect-failure', reason: `tunnel_response:${status}` },
                `tunnel_response:${status}`,
              );
            });
          },
          onData: (chunk, endStream) => bytes.received(chunk, endStream),
          onTrailers: () => bytes.ended(),
          onReset: (reason, details) => {
            if (settled) return bytes.lost(new Error(`tunnel reset: ${reason}`));
            settle(() =>
              handlers.onFailure({ kind: 'connect-failure', reason: details ?? `tunnel reset: ${reason}` }),
            );
          },
          onDrain: () => bytes.onDrain(),
        };
      },
      onFailure: (failure) => settle(() => handlers.onFailure(failure)),
    },
  );
  return {
    cancel: () =>
      settle(() => {
        if (opened === undefined) pending.cancel();
        else opened.reset('local-reset');
      }),
  };
}

function requestHeaders(tunneling: TunnelingConfig, info: StreamInfo): HeaderMap {
  const headers = new HeaderMap();
  headers.method = tunneling.usePost ? 'POST' : 'CONNECT';
  headers.authority = tunneling.hostname(info);
  if (tunneling.usePost) {
    headers.scheme = 'http';
    headers.path = '/';
  }
  for (const { name, value } of tunneling.headers) headers.append(name, value(info));
  return headers;
}

function tunnelInfo(info: StreamInfo, upstream: UpstreamInfo): ConnectionInfo {
  const { endpoint } = upstream;
  return createConnectionInfo({
    remoteAddress: endpoint?.address ?? info.connection.localAddress,
    localAddress: upstream.localAddress ?? info.connection.localAddress,
    startTimeMs: info.startTimeMs,
  });
}

/** A tunnel's stream as bytes. What comes before its owner resumes it waits, with the peer held back. */
class TunnelBytes implements ByteStream {
  readonly info: ConnectionInfo;
  onData: (chunk: Buffer) => void = nothing;
  onDrain: () => void = nothing;
  onEnd: () => void = nothing;
  onClose: (error?: Error) => void = nothing;
  private readonly stream: HttpStream;
  private readonly waiting: Buffer[] = [];
  private flowing = false;
  private scheduled = false;
  private peerEnded = false;
  private endDelivered = false;
  private localEnded = false;
  private isClosed = false;
  private abandoned = false;
  private linger: NodeJS.Timeout | undefined;

  constructor(stream: HttpStream, info: ConnectionInfo) {
    this.stream = stream;
    this.info = info;
  }

  get writableLength(): number {
    return this.stream.writableLength;
  }

  get closed(): boolean {
    return this.isClosed;
  }

  write(chunk: Buffer): boolean {
    return this.localEnded || this.isClosed || this.stream.sendData(chunk, false);
  }

  end(): void {
    if (this.localEnded || this.isClosed) return;
    this.localEnded = true;
    this.stream.sendData(Buffer.alloc(0), true);
    this.checkEnded();
  }

  close(): void {
    if (this.isClosed || this.abandoned) return;
    this.abandoned = true;
    this.waiting.length = 0;
    this.end();
    if (this.peerEnded) return this.finish();
    // What was written may still wait for the peer's credit: a reset now would lose it.
    this.stream.resumeReading();
    this.linger = setTimeout(() => {
      this.stream.reset('local-reset');
      this.finish();
    }, LINGER_MS).unref();
  }

  reset(): void {
    if (this.isClosed) return;
    this.abandoned = true;
    this.stream.reset('connect-error');
    this.finish();
  }

  pause(): void {
    this.flowing = false;
    this.stream.pauseReading();
  }

  resume(): void {
    this.flowing = true;
    this.schedule();
  }

  received(chunk: Buffer, endStream: boolean): void {
    if (this.isClosed) return;
    if (endStream) this.peerEnded = true;
    if (this.abandoned) {
      if (endStream) this.finish();
      return;
    }
    if (chunk.length > 0) {
      if (this.flowing && this.waiting.length === 0) this.onData(chunk);
      else this.waiting.push(chunk);
    }
    if (!this.flowing) this.stream.pauseReading();
    if (endStream) this.schedule();
  }

  ended(): void {
    this.received(Buffer.alloc(0), true);
  }

  lost(error: Error): void {
    if (!this.isClosed) this.finish(this.abandoned ? undefined : error);
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.deliver();
    });
  }

  private deliver(): void {
    while (this.flowing && !this.isClosed) {
      const chunk = this.waiting.shift();
      if (chunk === undefined) break;
      this.onData(chunk);
    }
    if (!this.flowing || this.isClosed) return;
    if (this.peerEnded && !this.endDelivered) {
      this.endDelivered = true;
      this.onEnd();
      this.checkEnded();
    } else if (!this.peerEnded) this.stream.resumeReading();
  }

  private checkEnded(): void {
    if (this.localEnded && this.endDelivered) this.finish();
  }

  private finish(error?: Error): void {
    if (this.isClosed) return;
    this.isClosed = true;
    clearTimeout(this.linger);
    queueMicrotask(() => this.onClose(error));
  }
}
