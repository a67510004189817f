import { setTimeout as sleep } from 'node:timers/promises';
import { envoy, type google } from '@weft/api/envoy';
import { type Clock, silentLogger, systemClock } from '@weft/telemetry';
import { createCompileContext, WarmUp } from '../../config/compile-context.ts';
import {
  type Engine,
  type ForbiddenAddress,
  FilterState,
  type HeaderMap,
  type InternalListeners,
  type Metadata,
  type Secret,
  type StatsScope,
  type StreamInfo,
  type UpstreamContext,
} from '../../engine/types.ts';
import { createConnectionInfo, createTcpStreamInfo } from '../../network/connection-info.ts';
import { createCluster, type UpstreamCluster } from '../cluster.ts';
import { systemResolver } from '../discovery/dns.ts';
import { NameLookups } from '../discovery/name-lookups.ts';

/** Statistics that a test can read: `values.get('cluster.x.upstream_cx_total')`. */
export class TestStats implements StatsScope {
  readonly values: Map<string, number>;
  private readonly prefix: string;

  constructor(values = new Map<string, number>(), prefix = '') {
    this.values = values;
    this.prefix = prefix;
  }

  counter(name: string) {
    return this.handle(name);
  }

  gauge(name: string) {
    return this.handle(name);
  }

  histogram(_name: string) {
    return { record: (): void => undefined };
  }

  scope(prefix: string): TestStats {
    return new TestStats(this.values, `${this.prefix}${prefix}.`);
  }

  private handle(name: string) {
    const { values } = this;
    const key = this.prefix + name;
    return {
      get value(): number {
        return values.get(key) ?? 0;
      },
      set: (value: number) => void values.set(key, value),
      add: (n = 1) => void values.set(key, (values.get(key) ?? 0) + n),
      sub: (n = 1) => void values.set(key, (values.get(key) ?? 0) - n),
    };
  }
}

export interface TestEngine {
  readonly engine: Engine;
  readonly stats: TestStats;
  /** By secret name; changed by `setSecret`. */
  setSecret(name: string, secret: Secret): void;
  /** An EDS answer for all who watch the name. */
  setEndpoints(name: string, assignment: envoy.config.endpoint.v3.ClusterLoadAssignment.$Properties): void;
  /** Compiles; `warm` resolves when the cluster may serve. */
  cluster(message: envoy.config.cluster.v3.Cluster.$Properties): {
    readonly cluster: UpstreamCluster;
    readonly warm: Promise<void>;
  };
}

/** As much of an engine as clusters use. */
export function createTestEngine(
  o: { clock?: Clock; internalListeners?: InternalListeners; isForbidden?: ForbiddenAddress } = {},
): TestEngine {
  const stats = new TestStats();
  const secrets = new Map<string, Secret>();
  const secretWatchers = new Set<{ name: string; notify: (secret: Secret) => void }>();
  const endpointWatchers = new Set<{ name: string; notify: (assignment: Uint8Array) => void }>();
  const unused = (what: string) => (): never => {
    throw new Error(`clusters don't use ${what}`);
  };
  const engine: Engine = {
    clock: o.clock ?? systemClock,
    logger: silentLogger,
    stats,
    clusters: { get: () => undefined, all: () => [] },
    secrets: {
      watch: ({ name }, notify) => {
        const watcher = { name, notify };
        secretWatchers.add(watcher);
        queueMicrotask(() => {
          const secret = secrets.get(name);
          if (secret !== undefined && secretWatchers.has(watcher)) notify(secret);
        });
        return () => void secretWatchers.delete(watcher);
      },
    },
    endpoints: {
      watch: ({ name, onChange }) => {
        const watcher = { name, notify: onChange };
        endpointWatchers.add(watcher);
        return () => void endpointWatchers.delete(watcher);
      },
    },
    routes: { watch: unused('routes') },
    internalListeners: o.internalListeners ?? { connect: () => undefined },
    lookups: new NameLookups(systemResolver),
    ...(o.isForbidden === undefined ? {} : { isForbidden: o.isForbidden }),
    node: { id: 'test', cluster: 'test', metadata: {} },
    random: Math.random,
    drain: { draining: false, onDrain: () => () => undefined },
    httpFilter: unused('filters'),
    networkFilter: unused('filters'),
    runtime: () => undefined,
  };
  return {
    engine,
    stats,
    setSecret: (name, secret) => {
      secrets.set(name, secret);
      for (const watcher of secretWatchers) if (watcher.name === name) watcher.notify(secret);
    },
    setEndpoints: (name, assignment) => {
      const bytes = envoy.config.endpoint.v3.ClusterLoadAssignment.encode(assignment).finish();
      for (const watcher of endpointWatchers) if (watcher.name === name) watcher.notify(bytes);
    },
    cluster: (message) => {
      let onWarm = (): void => undefined;
      const warm = new Promise<void>((resolve) => {
        onWarm = resolve;
      });
      const warmUp = new WarmUp(() => onWarm());
      const context = createCompileContext({
        engine,
        resource: message.name ?? '',
        warmUp,
      });
      const cluster = createCluster(envoy.config.cluster.v3.Cluster.encode(message).finish(), context);
      warmUp.seal();
      return { cluster, warm };
    },
  };
}

export function any(
  type: { encode(message: object): { finish(): Uint8Array } },
  typeName: string,
  message: object,
): google.protobuf.Any.$Properties {
  return { type_url: `type.googleapis.com/${typeName}`, value: type.encode(message).finish() };
}

/** A load assignment of plain addresses. */
export function assignment(
  ...ports: readonly number[]
): envoy.config.endpoint.v3.ClusterLoadAssignment.$Properties {
  return {
    clusterName: 'test',
    endpoints: [
      {
        lbEndpoints: ports.map((portValue) => ({
          hostIdentifier: 'endpoint',
          endpoint: {
            address: { address: 'socketAddress', socketAddress: { address: '127.0.0.1', portValue } },
          },
        })),
      },
    ],
  };
}

export function requestContext(
  o: {
    readonly headers?: HeaderMap;
    readonly filterState?: FilterState;
    readonly metadata?: Metadata;
    readonly downstreamProtocol?: 'http1' | 'http2';
    readonly localAddress?: { ip: string; port: number };
  } = {},
): UpstreamContext & { readonly info: StreamInfo } {
  const connection = createConnectionInfo({
    remoteAddress: { kind: 'ip', ip: '192.0.2.1', port: 5000 },
    localAddress: { kind: 'ip', ...(o.localAddress ?? { ip: '192.0.2.2', port: 80 }) },
    filterState: o.filterState ?? new FilterState(),
    ...(o.metadata === undefined ? {} : { dynamicMetadata: o.metadata }),
    startTimeMs: 0,
  });
  if (o.localAddress !== undefined) connection.localAddressRestored = true;
  const info = createTcpStreamInfo(connection, 'unspecified');
  if (o.headers !== undefined) info.requestHeaders = o.headers;
  return {
    info,
    ...(o.downstreamProtocol === undefined ? {} : { downstreamProtocol: o.downstreamProtocol }),
  };
}

/** Waits for a condition that only real sockets bring about; fails after two seconds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (condition()) return;
    await sleep(5);
  }
  throw new Error(`never: ${what}`);
}
