import type { AccessLogger } from '../../access-log/index.ts';
import type { CompiledHttpFilter, Engine, ListenerScope } from '../../engine/types.ts';
import type { HttpCodecOptions } from '../codec.ts';
import type { RouterOptions } from '../router/router-host.ts';
import type { RouteTable } from '../route/route-table.ts';
import type { EdgeOptions } from './edge-headers.ts';
import type { LocalReplyMapper } from './local-reply.ts';
import type { PathOptions } from './path-normalization.ts';
import type { ManagerStats } from './stats.ts';

export interface NamedFilter {
  readonly name: string;
  readonly filter: CompiledHttpFilter;
  /** Runs only where a route turns it on. */
  readonly disabled: boolean;
}

/** A compiled http_connection_manager. */
export interface ManagerConfig {
  readonly engine: Engine;
  readonly listener: ListenerScope | undefined;
  readonly stats: ManagerStats;
  readonly codecType: 'auto' | 'http1' | 'http2';
  readonly codec: HttpCodecOptions;
  readonly filters: readonly NamedFilter[];
  readonly router: RouterOptions;
  /** The current table; undefined while RDS hasn't come. */
  readonly routes: () => RouteTable | undefined;
  readonly accessLog: AccessLogger;
  readonly edge: EdgeOptions;
  readonly path: PathOptions;
  readonly stripPort: 'none' | 'any' | 'matching';
  readonly stripTrailingHostDot: boolean;
  readonly proxy100Continue: boolean;
  /** Upper-case types that are allowed where a route says nothing. */
  readonly upgrades: ReadonlyMap<string, boolean>;
  readonly localReply: LocalReplyMapper;
  readonly serverName: string;
  readonly serverHeader: 'overwrite' | 'append-if-absent' | 'pass-through';
  readonly requestIdInResponse: boolean;
  readonly bufferLimitBytes: number;
  /** Milliseconds; 0: none. */
  readonly timeouts: ManagerTimeouts;
  readonly maxRequestsPerConnection: number;
}

export interface ManagerTimeouts {
  readonly idleMs: number;
  readonly streamIdleMs: number;
  readonly requestMs: number;
  readonly requestHeadersMs: number;
  readonly maxConnectionMs: number;
  readonly maxStreamMs: number;
  readonly drainMs: number;
}
