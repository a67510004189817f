import type { ChildProcess } from 'node:child_process';
import type { NetworkNamespace } from '@weft/linux';

/** One way from a client pod to a server pod, and the processes that make it. */
export interface BenchPath {
  readonly name: string;
  readonly client: NetworkNamespace;
  /** Another pod of the client's node. */
  readonly neighbour?: NetworkNamespace;
  readonly server: NetworkNamespace;
  /** What the client connects to. */
  readonly ip: string;
  /** Whether anything but HTTP gets through. */
  readonly carriesBytes: boolean;
  /** What carries the traffic, without the children that these have; empty without a mesh. */
  processes(): readonly ChildProcess[];
  /** Ends these processes and starts them anew. */
  restart(): Promise<void>;
}

export const HTTP_PORT = 80;
export const IPERF_PORT = 5201;
/** A busy machine takes its time to start proxies. */
export const START_TIMEOUT_MS = 60_000;
/** Whose certificates these paths show: service accounts of one namespace. */
export const TRUSTED_PREFIX = 'cluster.local/ns/default/';
