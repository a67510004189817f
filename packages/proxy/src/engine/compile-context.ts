import type { Engine } from './engine-parts.ts';

/** google.protobuf.Any with its TypedStruct forms resolved. */
export interface TypedConfig {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** Where a piece of configuration is compiled: its place, for errors, and the engine around it. */
export interface CompileContext {
  readonly engine: Engine;
  /** Name of the resource. */
  readonly resource: string;
  readonly path: string;
  /** The same with a longer path: `at('filters[1]')`. */
  at(segment: string): CompileContext;
  /** Throws a ConfigError of this place. */
  fail(reason: string, cause?: unknown): never;
  /**
   * The resource isn't used before the returned function was called (RDS, SDS or EDS has come, or its
   * initial_fetch_timeout passed). Only during compilation.
   */
  warmUp(what: string): () => void;
  /** Of the listener that is being compiled. */
  readonly listener?: ListenerScope;
  /** Of the HTTP connection manager whose filters are compiled: their statistics begin with it (`http.ingress`). */
  readonly statPrefix?: string;
  /** `http_filters[].name` of the filter that is compiled: the key of its per-route configuration. */
  readonly filterName?: string;
}

/** What filters of a listener share. */
export interface ListenerScope {
  readonly name: string;
  readonly trafficDirection: 'unspecified' | 'inbound' | 'outbound';
  readonly bufferLimitBytes: number;
  /** Draining since the listener (or the whole proxy) was asked to; never goes back. */
  readonly drain: DrainSignal;
}

export interface DrainSignal {
  readonly draining: boolean;
  /** Runs the task when draining begins, at once if it has. Returns what forgets it. */
  onDrain(task: () => void): () => void;
}
