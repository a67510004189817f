import type grpc from '@grpc/grpc-js';
import type { Node } from '@weft/xds';
import type { ForbiddenAddress, Secret, WorkloadDirectory } from './types.ts';

/**
 * What the process around the engine supplies instead of servers that the bootstrap would name. The waypoint passes
 * this to `Proxy`; `weft proxy --bootstrap` passes nothing.
 */
export interface Embedding {
  /** In place of the gRPC service of `dynamic_resources.ads_config`: credentials that are read again when they rotate. */
  readonly ads?: AdsAccess;
  /** SDS servers inside the process, by the cluster name of the config source (`sds-grpc`). */
  readonly secretServers?: ReadonlyMap<string, SecretServer>;
  /** Peers' names by address, for metrics. */
  readonly workloads?: WorkloadDirectory;
  /** Where no connection may go, whatever clusters and names say. */
  readonly isForbidden?: ForbiddenAddress;
}

export interface AdsAccess {
  readonly address: string;
  readonly credentials: () => grpc.ChannelCredentials;
  readonly headers: () => Iterable<readonly [name: string, value: string]>;
  readonly node: Node;
}

export interface SecretServer {
  /** Calls `onChange` with the secret once it is known, never within this call, and at each rotation. */
  watch(name: string, onChange: (secret: Secret) => void): () => void;
}
