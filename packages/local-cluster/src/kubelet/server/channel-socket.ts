import type { RawData, WebSocket } from 'ws';
import type { Readable } from 'node:stream';

/** Channels of `v5.channel.k8s.io`: the first byte of each message. */
export const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** Unsent bytes from which a source is not read any further, and below which it is again. */
const HIGH_WATER_BYTES = 1024 * 1024;
const LOW_WATER_BYTES = 256 * 1024;

export interface ChannelHandlers {
  readonly onStdin?: (data: Buffer) => void;
  readonly onStdinEnd?: () => void;
  readonly onResize?: (columns: number, rows: number) => void;
  readonly onClose: () => void;
}

/** A WebSocket that carries the streams of a process. */
export class ChannelSocket {
  private readonly socket: WebSocket;

  constructor(socket: WebSocket) {
    this.socket = socket;
  }

  listen({ onStdin, onStdinEnd, onResize, onClose }: ChannelHandlers): void {
    this.socket.on('message', (message: RawData) => {
      const bytes = message as Buffer; // binaryType is nodebuffer
      switch (bytes[0]) {
        case channel.stdin:
          return onStdin?.(bytes.subarray(1));
        case channel.close:
          return bytes[1] === channel.stdin ? onStdinEnd?.() : undefined;
        case channel.resize:
          return resize(bytes.subarray(1), onResize);
        default:
      }
    });
    this.socket.once('close', onClose);
  }

  send(to: number, data: Uint8Array): void {
    if (this.socket.readyState === this.socket.OPEN) this.socket.send(Buffer.concat([Buffer.of(to), data]));
  }

  /** Sends a stream's bytes, holding it back while the peer is slow. Resolves at its end. */
  async pipe(source: Readable, to: number): Promise<void> {
    for await (const chunk of source) {
      if (this.socket.readyState !== this.socket.OPEN) return;
      const data = chunk as Buffer; // no encoding is set on pipes
      const sent = new Promise<void>((resolve) => {
        this.socket.send(Buffer.concat([Buffer.of(to), data]), () => resolve());
      });
      if (this.socket.bufferedAmount > HIGH_WATER_BYTES) await sent;
    }
  }

  get congested(): boolean {
    return this.socket.bufferedAmount > HIGH_WATER_BYTES;
  }

  get relaxed(): boolean {
    return this.socket.bufferedAmount <= LOW_WATER_BYTES;
  }

  pauseInput(): void {
    this.socket.pause();
  }

  resumeInput(): void {
    this.socket.resume();
  }

  /** Says how the process ended, as kubectl reads it, and closes. */
  finish(exitCode: number): void {
    this.end(exitCode === 0 ? success : failure(exitCode));
  }

  fail(message: string): void {
    this.end({ metadata: {}, status: 'Failure', reason: 'InternalError', message, code: 500 });
  }

  private end(status: unknown): void {
    this.send(channel.error, Buffer.from(JSON.stringify(status)));
    this.socket.close(1000);
  }
}

const success = { metadata: {}, status: 'Success' };

function failure(exitCode: number): unknown {
  return {
    metadata: {},
    status: 'Failure',
    reason: 'NonZeroExitCode',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}

function resize(body: Buffer, onResize: ((columns: number, rows: number) => void) | undefined): void {
  try {
    const size = JSON.parse(body.toString('utf8')) as { readonly Width?: unknown; readonly Height?: unknown }; // checked next
    if (typeof size.Width === 'number' && typeof size.Height === 'number')
      onResize?.(size.Width, size.Height);
  } catch {
    // A size that can't be read leaves the terminal as it is.
  }
}
