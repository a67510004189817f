import type { ByteStream } from '../../engine/types.ts';
import { createConnectionInfo } from '../../network/connection-info.ts';
import { createPipe } from '../../network/internal-pipe.ts';

/** The two ends of an in-memory connection. */
export function connectionPair(): { readonly client: ByteStream; readonly server: ByteStream } {
  const address = (port: number) => ({ kind: 'ip', ip: '127.0.0.1', port }) as const;
  const info = (remote: number, local: number) =>
    createConnectionInfo({ remoteAddress: address(remote), localAddress: address(local), startTimeMs: 0 });
  return createPipe(info(80, 40_000), info(40_000, 80));
}

/** The far end of a connection in the hands of a test: writes text and keeps what comes. */
export class RawPeer {
  readonly stream: ByteStream;
  private chunks: Buffer[] = [];
  ended = false;
  closed = false;

  constructor(stream: ByteStream) {
    this.stream = stream;
    stream.onData = (chunk) => void this.chunks.push(chunk);
    stream.onEnd = () => {
      this.ended = true;
    };
    stream.onClose = () => {
      this.closed = true;
    };
    stream.resume();
  }

  get received(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  send(text: string): void {
    this.stream.write(Buffer.from(text, 'latin1'));
  }
}

/** Lets everything that is under way in this process happen. */
export async function settle(turns = 8): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}
