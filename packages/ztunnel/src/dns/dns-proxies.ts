import { systemClock, WeftError, type Logger, type MetricsRegistry } from '@weft/telemetry';
import { podSearchDomains } from './candidate-names.ts';
import { DnsMetrics } from './dns-metrics.ts';
import { Forwarder, type ForwardBudget } from './forwarder.ts';
import { DnsListeners } from './listeners.ts';
import { ownResolverConfig, type ResolverConfig } from './resolv-conf.ts';
import { DnsResponder } from './responder.ts';
import { exchangeWith } from './upstream-exchange.ts';
import type { Config } from '../config.ts';
import type { SocketSettings } from '../data/messages.ts';
import type { SocketAddress } from '../state/ip-address.ts';
import type { Workload } from '../state/workload.ts';
import type { WorkloadStore } from '../state/workload-store.ts';

export interface DnsProxiesOptions {
  readonly addresses: readonly SocketAddress[];
  /** Where names of others are resolved, and what a dedicated pod's resolver may have added to a name. */
  readonly resolver: ResolverConfig;
  readonly sockets: SocketSettings;
  readonly store: WorkloadStore;
  readonly clusterDomain: string;
  readonly preferredNamespace: string | undefined;
  /** A pod's own workload, for which a new pod's first queries wait. @throws WEFT1310 */
  readonly workloadOf: (podUid: string) => Promise<Workload>;
  readonly metrics: DnsMetrics;
  readonly logger: Logger;
  readonly onError: (error: WeftError) => void;
}

interface PodDns {
  readonly listeners: DnsListeners;
  readonly forwarder: Forwarder;
}

/** Undefined if DNS isn't captured. */
export function dnsProxies(
  config: Config,
  parts: Pick<DnsProxiesOptions, 'store' | 'workloadOf' | 'logger' | 'onError'> & {
    readonly registry: MetricsRegistry;
  },
): DnsProxies | undefined {
  if (config.dnsAddresses.length === 0) return undefined;
  return new DnsProxies({
    ...parts,
    addresses: config.dnsAddresses,
    resolver: ownResolverConfig(),
    sockets: config.sockets,
    clusterDomain: config.clusterDomain,
    preferredNamespace: config.preferredServiceNamespace,
    metrics: new DnsMetrics(parts.registry),
  });
}

/** A DNS proxy in each pod. What they share is the budget of queries that wait for an upstream. */
export class DnsProxies {
  private readonly options: DnsProxiesOptions;
  private readonly pods = new Map<string, PodDns>();
  private readonly budget: ForwardBudget = { inFlight: 0 };

  constructor(options: DnsProxiesOptions) {
    this.options = options;
  }

  /** @param namespaceFd open for as long as the pod is; undefined for the process's own namespace */
  async open(podUid: string, namespaceFd: number | undefined): Promise<void> {
    const { addresses, sockets, resolver, clusterDomain, workloadOf, onError } = this.options;
    const forwarder = new Forwarder({
      nameservers: resolver.nameservers,
      budget: this.budget,
      clock: systemClock,
      exchange: (server, request, transport, signal) =>
        exchangeWith({ namespaceFd, sockets, server, request, signal }, transport),
    });
    const responder = new DnsResponder({
      ...this.options,
      // A dedicated proxy reads the pod's own file; that of every other pod is what kubelet wrote.
      searchDomains: (namespace) =>
        namespaceFd === undefined ? resolver.search : podSearchDomains(namespace, clusterDomain),
      ipv6: sockets.ipv6,
      random: Math.random,
      clock: systemClock,
      client: () => workloadOf(podUid),
      forwarder,
    });
    const listeners = await DnsListeners.open({
      namespaceFd,
      sockets,
      addresses,
      responder,
      onError: (error) => onError(new WeftError('WEFT1352', podUid, { cause: error })),
    });
    this.pods.set(podUid, { listeners, forwarder });
  }

  close(podUid: string): void {
    const pod = this.pods.get(podUid);
    this.pods.delete(podUid);
    pod?.listeners.close();
    pod?.forwarder.close();
  }
}
