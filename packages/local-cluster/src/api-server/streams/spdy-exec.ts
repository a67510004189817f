import type { RawData, WebSocket } from 'ws';
import type { SpdyConnection, SpdyStream } from './spdy-connection.ts';

export const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** How long the client has to open all of its streams. */
const STREAMS_TIMEOUT_MS = 30_000;

/** Collects the streams of an exec or attach over SPDY, then ties each to its channel of the kubelet's WebSocket. */
export class SpdyExec {
  private readonly streams = new Map<string, SpdyStream>();
  private readonly expected: readonly string[];
  private readonly started: (streams: ReadonlyMap<string, SpdyStream>) => void;
  private readonly timer: NodeJS.Timeout;

  constructor(query: URLSearchParams, kubelet: WebSocket, connection: () => SpdyConnection) {
    const asked = (name: string) => query.get(name) === 'true' || query.get(name) === '1';
    const tty = asked('tty');
    this.expected = [
      'error',
      ...(asked('stdin') ? ['stdin'] : []),
      ...(asked('stdout') ? ['stdout'] : []),
      ...(asked('stderr') && !tty ? ['stderr'] : []),
      ...(tty ? ['resize'] : []),
    ];
    this.started = (streams) => connect(streams, kubelet, connection());
    this.timer = setTimeout(() => {
      kubelet.terminate();
      connection().close();
    }, STREAMS_TIMEOUT_MS);
    kubelet.once('close', () => clearTimeout(this.timer));
  }

  add(stream: SpdyStream): void {
    this.streams.set(stream.headers.get('streamtype') ?? '', stream);
    if (!this.expected.every((name) => this.streams.has(name))) return;
    clearTimeout(this.timer);
    this.started(this.streams);
  }
}

function connect(
  streams: ReadonlyMap<string, SpdyStream>,
  kubelet: WebSocket,
  connection: SpdyConnection,
): void {
  const toKubelet = (channel: number, data: Buffer) =>
    kubelet.send(Buffer.concat([Buffer.of(channel), data]));
  const stdin = streams.get('stdin');
  stdin?.on('data', (data: Buffer) => toKubelet(channels.stdin, data));
  stdin?.on('end', () => toKubelet(channels.close, Buffer.of(channels.stdin)));
  streams.get('resize')?.on('data', (data: Buffer) => toKubelet(channels.resize, data));

  const outputs = new Map([
    [channels.stdout as number, streams.get('stdout')],
    [channels.stderr, streams.get('stderr')],
    [channels.error, streams.get('error')],
  ]);
  kubelet.on('message', (message: RawData) => {
    const bytes = message as Buffer; // binaryType is nodebuffer
    const stream = outputs.get(bytes[0] ?? -1);
    if (stream === undefined || stream.destroyed) return;
    if (!stream.write(bytes.subarray(1))) {
      kubelet.pause();
      stream.once('drain', () => kubelet.resume());
    }
  });
  kubelet.on('error', () => kubelet.terminate());
  kubelet.on('close', () => {
    // The client closes the connection once it has read the last stream to its end.
    for (const stream of outputs.values()) stream?.end();
  });
  void connection.closed.then(() => kubelet.close());
  kubelet.resume();
}
