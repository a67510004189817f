import type { ByteStream, FilterState, InternalListeners, Metadata, SocketAddress } from '../engine/types.ts';
import { createConnectionInfo } from './connection-info.ts';
import { createPipe, DEFAULT_PIPE_BYTES, type PipeEnd } from './internal-pipe.ts';

export type AcceptInternal = (connection: PipeEnd) => void;

/** The internal listeners by name, and how to connect to one. */
export class InternalListenerTable implements InternalListeners {
  private readonly accept = new Map<string, AcceptInternal>();
  private readonly now: () => number;
  bufferBytes = DEFAULT_PIPE_BYTES;

  constructor(now: () => number) {
    this.now = now;
  }

  /** Replaces the listener of that name; returns what takes this one, and no later one, away. */
  register(name: string, accept: AcceptInternal): () => void {
    this.accept.set(name, accept);
    return () => {
      if (this.accept.get(name) === accept) this.accept.delete(name);
    };
  }

  connect(o: {
    readonly listener: string;
    readonly endpointId: string;
    readonly filterState: FilterState;
    readonly dynamicMetadata: Metadata;
    readonly remoteAddress: SocketAddress;
  }): ByteStream | undefined {
    const accept = this.accept.get(o.listener);
    if (accept === undefined) return undefined;
    const listenerAddress: SocketAddress = {
      kind: 'internal',
      listener: o.listener,
      endpointId: o.endpointId,
    };
    const startTimeMs = this.now();
    const { client, server } = createPipe(
      createConnectionInfo({ remoteAddress: listenerAddress, localAddress: o.remoteAddress, startTimeMs }),
      createConnectionInfo({
        remoteAddress: o.remoteAddress,
        localAddress: listenerAddress,
        filterState: o.filterState,
        dynamicMetadata: o.dynamicMetadata,
        startTimeMs,
      }),
      this.bufferBytes,
    );
    // Later, as everything of a stream: the caller sets its handlers first.
    queueMicrotask(() => accept(server));
    return client;
  }
}
