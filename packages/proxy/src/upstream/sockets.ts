import type { MetadataValue, SecretProvider } from '../engine/types.ts';
import type { ClusterConfig, SocketMatch } from './config/cluster-config.ts';
import type { TransportSocketConfig } from './config/transport-socket.ts';
import type { Host } from './host.ts';
import { UpstreamTls } from './tls/upstream-tls.ts';

/** A transport socket with its TLS secrets. */
export interface UpstreamSocket {
  /** Distinguishes the sockets of one cluster. */
  readonly id: number;
  readonly config: TransportSocketConfig;
  readonly tls: UpstreamTls | undefined;
}

/** The transport sockets of a cluster, and which of them a host gets. */
export class UpstreamSockets {
  private readonly matches: readonly {
    readonly match: SocketMatch['match'];
    readonly socket: UpstreamSocket;
  }[];
  private readonly fallback: UpstreamSocket;

  constructor(
    config: ClusterConfig,
    o: {
      readonly secrets: SecretProvider;
      /** Called for each socket that has to wait for a secret; returns what to call when it has come. */
      readonly waitFor: () => () => void;
      readonly onBadSecret: (error: unknown) => void;
    },
  ) {
    const create = (socket: TransportSocketConfig, id: number): UpstreamSocket => {
      const inner = socket.kind === 'internal' ? socket.inner : socket;
      if (inner.kind !== 'tls') return { id, config: socket, tls: undefined };
      const ready = o.waitFor();
      const tls = new UpstreamTls({
        config: inner.tls,
        secrets: o.secrets,
        onReady: ready,
        onMissing: ready,
        onBadSecret: o.onBadSecret,
      });
      if (tls.isReady) ready();
      return { id, config: socket, tls };
    };
    this.fallback = create(config.socket, 0);
    this.matches = config.socketMatches.map(({ match, socket }, i) => ({
      match,
      socket: create(socket, i + 1),
    }));
  }

  forHost(host: Host): UpstreamSocket {
    if (this.matches.length === 0) return this.fallback;
    const own = host.metadata.get('envoy.transport_socket_match') ?? {};
    const found = this.matches.find(({ match }) =>
      Object.entries(match).every(([key, value]) => equals(own[key], value)),
    );
    return found?.socket ?? this.fallback;
  }

  close(): void {
    this.fallback.tls?.close();
    for (const { socket } of this.matches) socket.tls?.close();
  }
}

function equals(a: MetadataValue | undefined, b: MetadataValue): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
