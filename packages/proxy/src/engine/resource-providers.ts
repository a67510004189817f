import type { SocketAddress } from './address.ts';
import type { ByteStream } from './byte-stream.ts';
import type { FilterState } from './filter-state.ts';
import type { Metadata } from './metadata.ts';

/** SDS and static secrets. */
export interface SecretProvider {
  /**
   * Calls `onChange` with the secret now (if known) and at each change, later than this call returns never earlier.
   * `name` must be static, or `sds` tells where to ask. Returns what ends the subscription.
   */
  watch(reference: SecretReference, onChange: (secret: Secret) => void, onMissing?: () => void): () => void;
}
export interface SecretReference {
  readonly name: string;
  /** envoy.config.core.v3.ConfigSource bytes; absent: a static secret of the bootstrap. */
  readonly sdsConfig?: Uint8Array;
}
export type Secret =
  | { readonly kind: 'certificate'; readonly chainPem: string; readonly keyPem: string }
  /** Bytes of an extensions.transport_sockets.tls.v3.CertificateValidationContext. */
  | { readonly kind: 'validation'; readonly context: Uint8Array }
  | { readonly kind: 'generic'; readonly value: Buffer };

/** RDS and static route tables, compiled by the HTTP part. */
export interface RouteProvider {
  /** `onChange` gets the bytes of the RouteConfiguration at each version; may throw ConfigError to reject it. */
  watch(o: {
    readonly name: string;
    readonly configSource: Uint8Array;
    readonly check: (routeConfiguration: Uint8Array) => void;
    readonly onChange: (routeConfiguration: Uint8Array) => void;
    readonly onMissing: () => void;
  }): () => void;
}

/** EDS. Like `RouteProvider`, for ClusterLoadAssignment. */
export interface EndpointProvider {
  watch(o: {
    /** service_name of eds_cluster_config, else the cluster's name. */
    readonly name: string;
    readonly configSource: Uint8Array;
    readonly check: (assignment: Uint8Array) => void;
    readonly onChange: (assignment: Uint8Array) => void;
    /** initial_fetch_timeout passed. */
    readonly onMissing: () => void;
  }): () => void;
}

/** Internal listeners by name: what `connect_originate`-like addresses of endpoints lead to. */
export interface InternalListeners {
  /** The client end of a new connection, or undefined when no such listener exists. */
  connect(o: {
    readonly listener: string;
    readonly endpointId: string;
    /** What the new downstream connection begins with. */
    readonly filterState: FilterState;
    readonly dynamicMetadata: Metadata;
    /** The peer that the listener sees. */
    readonly remoteAddress: SocketAddress;
  }): ByteStream | undefined;
}
