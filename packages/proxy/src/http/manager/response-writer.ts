import type { HeaderMap, StreamInfo } from '../../engine/types.ts';
import type { HttpServerStream } from '../codec.ts';
import type { ManagerConfig } from './config.ts';
import type { MessageEvent } from './filter-pass.ts';
import { finishResponse } from './finish-response.ts';

/** What came through the filters goes to the client, and into the log. */
export class ResponseWriter {
  private readonly stream: HttpServerStream;
  private readonly info: StreamInfo;
  private readonly config: ManagerConfig;
  private begun = false;

  constructor(stream: HttpServerStream, info: StreamInfo, config: ManagerConfig) {
    this.stream = stream;
    this.info = info;
    this.config = config;
  }

  /** The client has a status: there can be no other. */
  get headersSent(): boolean {
    return this.begun;
  }

  /** 100 and 103. */
  sendInformational(headers: HeaderMap): void {
    // We answered the expectation ourselves.
    if (this.begun || (headers.status === 100 && !this.config.proxy100Continue)) return;
    this.stream.sendInformational(headers);
  }

  /** @returns whether the client takes more. */
  send(event: MessageEvent): boolean {
    const { info, stream } = this;
    switch (event.kind) {
      case 'headers':
        finishResponse(event.headers, info, this.config);
        info.responseHeaders = event.headers;
        info.responseCode = event.headers.status ?? 0;
        info.timings.downstreamFirstByteSent ??= performance.now();
        this.begun = true;
        // The codec consumes what concerns one hop; the log still wants to see it.
        stream.sendHeaders(event.headers.clone(), event.end);
        return true;
      case 'data':
        info.bytesSent += event.chunk.length;
        return stream.sendData(event.chunk, event.end);
      case 'trailers':
        info.responseTrailers = event.trailers;
        stream.sendTrailers(event.trailers);
        return true;
    }
  }
}
