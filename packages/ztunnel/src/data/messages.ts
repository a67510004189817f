import type { ErrorCode, ProfileOptions } from '@weft/telemetry';
import type { IpAddress, SocketAddress } from '../state/ip-address.ts';

/**
 * What the control thread and the data threads tell each other. Everything here is copied between threads, so
 * it is plain data; a data thread knows nothing of workloads, services and policies.
 */

/** Unique among all threads of the process. */
export type ConnectionId = number;

export interface SocketSettings {
  readonly mark: number | undefined;
  readonly reusePort: boolean;
  readonly transparent: 'required' | 'best-effort' | 'never';
  readonly ipv6: boolean;
  readonly keepAlive:
    | { readonly idleMs: number; readonly intervalMs: number; readonly probes: number }
    | undefined;
  readonly userTimeoutMs: number | undefined;
}

export interface TunnelSettings {
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly maxFrameBytes: number;
  readonly maxStreamsPerConnection: number;
  readonly unusedReleaseMs: number;
  readonly tls: { readonly tls12: boolean; readonly postQuantumOnly: boolean };
}

/** What moves bytes: node's sockets and `node:tls`, or epoll and OpenSSL without them. */
export type EngineName = 'portable' | 'fast';

export type EngineSettings =
  | { readonly kind: 'portable' }
  /** The memory of a `DescriptorTable`, by which the control thread closes what a dead thread had open. */
  | { readonly kind: 'fast'; readonly descriptors: SharedArrayBuffer };

export interface DataThreadSettings {
  readonly engine: EngineSettings;
  /** Never used twice in a process, so that its connections' ids aren't either. */
  readonly threadNumber: number;
  readonly sockets: SocketSettings;
  readonly tunnels: TunnelSettings;
}

export type ListenerKind = 'outbound' | 'inbound-plaintext' | 'hbone' | 'socks5';

export interface PodListeners {
  readonly podUid: string;
  /** Where to listen; undefined for the process's own namespace, as the proxy of the proxy itself does. */
  readonly namespaceFd: number | undefined;
  readonly ports: readonly ListenerKind[];
  readonly sockets: SocketSettings;
}

/** Certificate and key as they cross threads. */
export interface CertificatePems {
  readonly identity: string;
  readonly keyPem: string;
  readonly chainPem: string;
  readonly rootsPem: string;
}

/** What a data thread is to do with a connection. */
export type Order =
  /** Drop it; a tunnel's request gets the status first. */
  | { readonly kind: 'refuse'; readonly status: number }
  | {
      readonly kind: 'connect';
      readonly upstream: SocketAddress;
      readonly bindSource?: IpAddress;
      readonly responseHeaders?: HeaderList;
      /** Sent to the application before the client's bytes. */
      readonly preamble?: Uint8Array;
    }
  | {
      readonly kind: 'tunnel';
      readonly upstream: SocketAddress;
      readonly authority: string;
      readonly identity: string;
      readonly acceptableIdentities: readonly string[];
      readonly sourceIp: IpAddress;
      readonly headers: HeaderList;
      /** The tunnel would end in a pod of this proxy: the bytes may stay in the process. */
      readonly sameNode?: {
        readonly podUid: string;
        /** Those of the client's pod. */
        readonly sourceIps: readonly IpAddress[];
      };
      /** A tunnel inside this one, with the same authority and certificate. */
      readonly inner?: { readonly acceptableIdentities: readonly string[]; readonly headers: HeaderList };
    };
export type HeaderList = readonly (readonly [name: string, value: string])[];

export type ToData =
  /** Closes everything and ends the thread. */
  | { readonly kind: 'stop' }
  | { readonly kind: 'open-pod'; readonly call: number; readonly pod: PodListeners }
  | { readonly kind: 'close-pod'; readonly call: number; readonly podUid: string }
  /** Stop accepting, let connections end, answer when there are none. */
  | { readonly kind: 'drain'; readonly call: number }
  /** Answered with the text of a `.cpuprofile`. */
  | { readonly kind: 'profile'; readonly call: number; readonly options: ProfileOptions }
  /** The content of the file of revocation lists, which the control thread has read without trouble. */
  | { readonly kind: 'revocations'; readonly bytes: Uint8Array }
  | { readonly kind: 'order'; readonly connection: ConnectionId; readonly order: Order }
  | { readonly kind: 'resolved'; readonly call: number; readonly ip: IpAddress | undefined }
  | { readonly kind: 'cut'; readonly connection: ConnectionId; readonly why: string }
  | {
      readonly kind: 'certificate';
      readonly call: number;
      readonly pems?: CertificatePems;
      readonly error?: string;
    };

export type ResponseFlag =
  | '-'
  | 'DENY'
  | 'CONNECT'
  | 'TLS_FAILURE'
  | 'H2_HANDSHAKE_FAILURE'
  | 'NETWORK_POLICY'
  | 'IDENTITY_ERROR'
  | 'CERT_REVOKED';

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly flag: ResponseFlag;
}

export interface OutboundQuestion {
  readonly kind: 'outbound';
  readonly connection: ConnectionId;
  readonly podUid: string;
  readonly peer: SocketAddress;
  readonly destination: SocketAddress;
}
export interface PlaintextQuestion {
  readonly kind: 'inbound-plaintext';
  readonly connection: ConnectionId;
  readonly podUid: string;
  readonly peer: SocketAddress;
  readonly destination: SocketAddress;
}
export interface TunnelQuestion {
  readonly kind: 'inbound-tunnel';
  readonly connection: ConnectionId;
  readonly podUid: string;
  readonly peer: SocketAddress;
  readonly localIp: IpAddress;
  readonly peerIdentity: string | undefined;
  readonly authority: string;
  readonly headers: HeaderList;
  /** The connection of this proxy at the other end, when the bytes stay in the process. */
  readonly relayOf?: ConnectionId;
}
export type Question = OutboundQuestion | PlaintextQuestion | TunnelQuestion;

export type ToControl =
  | {
      readonly kind: 'answer';
      readonly call: number;
      readonly transparent?: boolean;
      readonly profile?: string;
      readonly error?: string;
    }
  | Question
  | {
      readonly kind: 'report';
      /** `[connection, received, sent]…` since the last report. */
      readonly bytes: Float64Array;
      /** From each question to its order, since the last report. */
      readonly roundTripsMs: Float64Array;
    }
  | {
      readonly kind: 'closed';
      readonly connection: ConnectionId;
      /** Totals over the whole connection. */
      readonly received: number;
      readonly sent: number;
      readonly failure?: Failure;
    }
  | {
      readonly kind: 'certificate';
      readonly call: number;
      readonly of: { readonly podUid: string } | { readonly identity: string };
    }
  /** The address of a name that a SOCKS client gave. */
  | {
      readonly kind: 'resolve';
      readonly call: number;
      readonly podUid: string;
      readonly hostname: string;
      readonly family: 4 | 6;
    }
  /** Who the other end of an inner tunnel is, which only its answer tells. */
  | {
      readonly kind: 'inner-peer';
      readonly connection: ConnectionId;
      readonly identity: string | undefined;
      readonly baggage: string | undefined;
    }
  /** Something went wrong that belongs to no connection known to the control thread. */
  | {
      readonly kind: 'trouble';
      readonly podUid: string;
      readonly peer: SocketAddress | undefined;
      readonly failure: Failure;
    };
