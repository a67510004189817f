import type { TLSSocket } from 'node:tls';

/** A connection after its TLS handshake, whichever library did it. */
export interface SecureConnection {
  /** IPv4 addresses are plain, also on a dual-stack socket. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Bytes that it gives are gone after the call. */
  readonly lendsBytes: boolean;
  /** Once; events come from then on. */
  start(events: SecureConnectionEvents): void;
  /** Runs it after what is being done now, when more may have gathered to be written. */
  soon(task: () => void): void;
  /** True: it has left, so the bytes are free. Else `written` tells it. */
  write(bytes: Buffer, written: () => void): boolean;
  /** Sends what was written, then the end of this direction; reads on. */
  end(): void;
  /** Sends what was written, then closes. */
  destroySoon(): void;
  destroy(): void;
}

export interface SecureConnectionEvents {
  onBytes(bytes: Buffer): void;
  onEnd(): void;
  /** `onClose` follows. */
  onError(cause: Error): void;
  /** Once, and last. */
  onClose(): void;
}

/** What one connection may read before all others of the thread have had their turn. libuv alone would read 2 MiB. */
export const MAX_TURN_BYTES = 128 * 1024;

/** A connection of `node:tls`, over a socket or any other stream. */
export function nodeConnection(socket: TLSSocket): SecureConnection {
  socket.setNoDelay(true);
  let sinceRest = 0;
  const goOn = (): void => {
    sinceRest = 0;
    socket.resume();
  };
  return {
    remoteAddress: canonicalAddress(socket.remoteAddress),
    remotePort: socket.remotePort ?? 0,
    localAddress: canonicalAddress(socket.localAddress),
    localPort: socket.localPort ?? 0,
    lendsBytes: false,
    start: (events) => {
      socket.on('data', (chunk: Buffer) => {
        events.onBytes(chunk);
        sinceRest += chunk.length;
        if (sinceRest < MAX_TURN_BYTES || socket.isPaused()) return;
        socket.pause();
        setImmediate(goOn);
      });
      socket.on('end', () => events.onEnd());
      socket.on('error', (cause) => events.onError(cause));
      socket.on('close', () => events.onClose());
    },
    soon: (task) => void setImmediate(task),
    write: (bytes, written) => {
      socket.write(bytes, () => written());
      return false;
    },
    end: () => void socket.end(),
    destroySoon: () => socket.destroySoon(),
    destroy: () => void socket.destroy(),
  };
}

/** `::ffff:1.2.3.4` is how a dual-stack socket spells 1.2.3.4. */
export function canonicalAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}
