import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Clock } from '@weft/telemetry';
import type { DiscoveryConfig, DnsFamily } from '../config/cluster-config.ts';
import type { EndpointSpec } from '../host.ts';
import type { Discovery, EndpointSink } from './discovery.ts';

type DnsConfig = Extract<DiscoveryConfig, { kind: 'dns' }>;
export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}
/** All addresses of a name, in the system's order. Rejects when there are none. */
export type Resolver = (hostname: string) => Promise<readonly ResolvedAddress[]>;

export const systemResolver: Resolver = (hostname) => lookup(hostname, { all: true, verbatim: true });

/** Names are resolved again and again; a failure keeps the last addresses. */
export function discoverByDns(
  config: DnsConfig,
  o: { readonly clock: Clock; readonly resolve: Resolver },
  sink: EndpointSink,
): Discovery {
  const { specs } = config.endpoints;
  const resolved = new Map<EndpointSpec, readonly EndpointSpec[]>();
  const timers = new Map<EndpointSpec, () => void>();
  let closed = false;
  let unanswered = specs.length;

  const publish = (): void => {
    sink.update({ ...config.endpoints, specs: specs.flatMap((spec) => resolved.get(spec) ?? []) });
  };
  const refresh = async (spec: EndpointSpec): Promise<void> => {
    if (spec.address.kind !== 'ip') return;
    const { ip: hostname, port } = spec.address;
    let delayMs = config.refreshMs;
    try {
      const answers =
        isIP(hostname) === 0 ? await o.resolve(hostname) : [{ address: hostname, family: isIP(hostname) }];
      if (closed) return;
      const chosen = addressesOf(config.family, answers).map((address) => ({
        kind: 'ip' as const,
        ip: address,
        port,
      }));
      const [first, ...rest] = chosen;
      if (first !== undefined) {
        const named = { ...spec, hostname: spec.hostname || hostname };
        const hosts =
          config.addresses === 'first'
            ? [{ ...named, address: first, additionalAddresses: rest }]
            : chosen.map((address) => ({ ...named, address }));
        const before = resolved.get(spec);
        resolved.set(spec, hosts);
        if (!sameHosts(before, hosts)) publish();
      }
    } catch (error) {
      if (closed) return;
      delayMs = config.failureRefreshMs;
      sink.failed(error);
    }
    if (unanswered > 0 && --unanswered === 0) sink.settled();
    timers.set(
      spec,
      o.clock.schedule(delayMs, () => void refresh(spec)),
    );
  };

  if (specs.length === 0) sink.settled();
  for (const spec of specs) void refresh(spec);
  return {
    close: () => {
      closed = true;
      for (const cancel of timers.values()) cancel();
      timers.clear();
    },
  };
}

/** Of the answers those that a family of lookups takes, in the order to try them. */
export function addressesOf(family: DnsFamily, answers: readonly ResolvedAddress[]): string[] {
  const of = (wanted: number): string[] => answers.filter((a) => a.family === wanted).map((a) => a.address);
  const [v4, v6] = [of(4), of(6)];
  switch (family) {
    case 'v4-only':
      return v4;
    case 'v6-only':
      return v6;
    case 'v4-preferred':
      return v4.length > 0 ? v4 : v6;
    case 'auto':
      return v6.length > 0 ? v6 : v4;
    case 'all':
      return [...v6, ...v4];
  }
}

function sameHosts(a: readonly EndpointSpec[] | undefined, b: readonly EndpointSpec[]): boolean {
  const key = (specs: readonly EndpointSpec[]): string =>
    JSON.stringify(specs.map((spec) => [spec.address, spec.additionalAddresses]));
  return a !== undefined && key(a) === key(b);
}
