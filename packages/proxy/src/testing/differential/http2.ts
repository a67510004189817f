import { connect, createServer, type Server, type Socket } from 'node:net';
import { HeaderMap, type ByteStream, type HttpStream } from '../../engine/types.ts';
import type { HttpServerStream, HttpStreamEvents } from '../../http/codec.ts';
import { createHttp2ClientCodec } from '../../http/http2/client.ts';
import { createHttp2ServerCodec } from '../../http/http2/server.ts';
import { createConnectionInfo } from '../../network/connection-info.ts';
import { SocketStream } from '../../network/socket-stream.ts';
import { TIMEOUT_MS, type Exchange, type Fields, type TestRequest } from './exchange.ts';

/**
 * The test's own ends of HTTP/2, on the engine's codec: node:http2 of Node 20 aborts the whole process now and then
 * when sessions end with frames under way (`current_nghttp2_memory_ == 0`).
 */
export async function overHttp2(port: number, request: TestRequest, identity: Fields): Promise<Exchange> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    const interim: number[] = [];
    let head: { readonly status: number; readonly headers: Fields } | undefined;
    let body = '';
    let trailers: Fields = [];
    const finish = (end: Exchange['end'], cut = false): void => {
      clearTimeout(timer);
      resolve({ responses: head === undefined ? [] : [{ interim, ...head, body, trailers, cut }], end });
      codec.close();
      socket.destroy();
    };
    const timer = setTimeout(() => finish('timeout'), TIMEOUT_MS);
    const codec = createHttp2ClientCodec(
      streamOf(socket),
      {
        onCapacity: () => undefined,
        onDraining: () => undefined,
        onClose: () => finish('closed', true),
      },
      {},
    );
    const stream = codec.openStream({
      onInformational: ({ status = 0 }) => void interim.push(status),
      onHeaders: (headers, end) => {
        head = { status: headers.status ?? 0, headers: [...headers] };
        if (end) finish('complete');
      },
      onData: (chunk, end) => {
        body += chunk.toString('latin1');
        if (end) finish('complete');
      },
      onTrailers: (fields) => {
        trailers = [...fields];
        finish('complete');
      },
      onReset: () => finish('complete', true),
      onDrain: () => undefined,
    });
    if (stream === undefined) return finish('closed');
    send(stream, request, identity);
  });
}

function send(stream: HttpStream, request: TestRequest, identity: Fields): void {
  const { method, path, host, body, trailers } = request;
  const fields = [...identity, ...request.headers];
  const headers = HeaderMap.request({ method, path, authority: host, scheme: 'http', fields });
  stream.sendHeaders(headers, body === undefined);
  if (body === undefined) return;
  stream.sendData(Buffer.from(body, 'latin1'), trailers === undefined);
  if (trailers !== undefined) stream.sendTrailers(new HeaderMap(trailers.flat()));
}

export interface Http2Message {
  readonly headers: HeaderMap;
  readonly body: string;
  readonly trailers: Fields;
}

/** @param answer is called with complete requests. */
export function createHttp2Server(answer: (request: Http2Message) => Promise<Http2Message>): Server {
  return createServer({ allowHalfOpen: true }, (socket) => {
    createHttp2ServerCodec(
      streamOf(socket),
      {
        onStream: (stream) => requestReader(stream, answer),
        onBadRequest: (stream) => stream.reset('protocol-error'),
        onActiveStreams: () => undefined,
        onClose: () => undefined,
      },
      {},
    );
  });
}

function requestReader(
  stream: HttpServerStream,
  answer: (request: Http2Message) => Promise<Http2Message>,
): HttpStreamEvents {
  let headers = new HeaderMap();
  let body = '';
  const received = async (trailers: Fields): Promise<void> => {
    const reply = await answer({ headers, body, trailers });
    const bodiless = headers.method === 'HEAD';
    stream.sendHeaders(reply.headers, bodiless);
    if (bodiless) return;
    stream.sendData(Buffer.from(reply.body, 'latin1'), reply.trailers.length === 0);
    if (reply.trailers.length > 0) stream.sendTrailers(new HeaderMap(reply.trailers.flat()));
  };
  return {
    onHeaders: (head, end) => {
      headers = head;
      if (end) void received([]);
    },
    onData: (chunk, end) => {
      body += chunk.toString('latin1');
      if (end) void received([]);
    },
    onTrailers: (fields) => void received([...fields]),
    onReset: () => undefined,
    onDrain: () => undefined,
  };
}

function streamOf(socket: Socket): ByteStream {
  const nowhere = { kind: 'ip', ip: '127.0.0.1', port: 0 } as const;
  const info = createConnectionInfo({ remoteAddress: nowhere, localAddress: nowhere, startTimeMs: 0 });
  return new SocketStream(socket, info);
}
