import { pipeline } from 'node:stream';
import { createWebSocketStream, type WebSocket } from 'ws';
import { describeError } from '@weft/telemetry';
import type { SpdyStream } from './spdy-connection.ts';

/** Streams wait this long for the other one of their pair. */
const PAIR_TIMEOUT_MS = 30_000;

/**
 * Ties pairs of streams (`error` and `data` of one request) to connections into the pod. Text on the error stream
 * makes kubectl end, so it is written for a failed connection only.
 */
export class PortForward {
  private readonly waiting = new Map<
    string,
    { readonly stream: SpdyStream; readonly timer: NodeJS.Timeout }
  >();
  private readonly dial: (port: number) => Promise<WebSocket>;

  constructor(dial: (port: number) => Promise<WebSocket>) {
    this.dial = dial;
  }

  add(stream: SpdyStream): void {
    const id = stream.headers.get('requestid') ?? stream.headers.get('port') ?? '';
    const other = this.waiting.get(id);
    if (other === undefined) {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        stream.destroy();
      }, PAIR_TIMEOUT_MS);
      stream.once('close', () => clearTimeout(timer));
      this.waiting.set(id, { stream, timer });
      return;
    }
    clearTimeout(other.timer);
    this.waiting.delete(id);
    const pair = [other.stream, stream];
    const error = pair.find(({ headers }) => headers.get('streamtype') === 'error');
    const data = pair.find(({ headers }) => headers.get('streamtype') === 'data');
    if (error === undefined || data === undefined) for (const each of pair) each.destroy();
    else void this.connect(error, data);
  }

  private async connect(error: SpdyStream, data: SpdyStream): Promise<void> {
    error.resume();
    const port = Number(data.headers.get('port'));
    try {
      const pod = createWebSocketStream(await this.dial(port));
      pipeline(data, pod, () => undefined);
      pipeline(pod, data, () => {
        error.end();
      });
    } catch (failure) {
      error.end(`error forwarding port ${port} to pod: ${describeError(failure)}`);
      data.end();
    }
  }
}
