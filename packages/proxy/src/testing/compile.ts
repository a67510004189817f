import { silentLogger, systemClock } from '@weft/telemetry';
import { envoyFromJson } from '@weft/api/envoy-json';
import { createCompileContext, WarmUp } from '../config/compile-context.ts';
import type { CompileContext, Engine } from '../engine/types.ts';
import { FilterRegistry } from '../filters/index.ts';
import { DrainState } from '../network/drain-state.ts';
import { StatsStore } from '../stats/index.ts';
import { systemResolver } from '../upstream/discovery/dns.ts';
import { NameLookups } from '../upstream/discovery/name-lookups.ts';

/** An engine without clusters, routes, secrets and listeners, for what is compiled alone. */
export function testEngine(parts: Partial<Engine> = {}): Engine {
  const filters = new FilterRegistry();
  return {
    clock: systemClock,
    logger: silentLogger,
    stats: new StatsStore(),
    clusters: { get: () => undefined, all: () => [] },
    secrets: { watch: () => () => undefined },
    routes: { watch: () => () => undefined },
    endpoints: { watch: () => () => undefined },
    internalListeners: { connect: () => undefined },
    lookups: new NameLookups(systemResolver),
    node: { id: 'test', cluster: 'test', metadata: {} },
    random: () => 0.5,
    drain: new DrainState(),
    httpFilter: (typeUrl) => filters.httpFilter(typeUrl),
    networkFilter: (typeUrl) => filters.networkFilter(typeUrl),
    runtime: () => undefined,
    ...parts,
  };
}

export function testContext(engine: Engine = testEngine()): CompileContext {
  return createCompileContext({
    engine,
    resource: 'test',
    warmUp: new WarmUp(() => undefined),
  });
}

/** A message written as ProtoJSON. */
export function message<T>(type: { decode(bytes: Uint8Array): T }, typeName: string, json: unknown): T {
  return type.decode(envoyFromJson(typeName, json));
}
