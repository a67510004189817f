import { podSearchDomains } from '../dns/candidate-names.ts';
import { decideAnswer, type NameQuestion } from '../dns/decide-answer.ts';
import type { HostnameResolver } from '../dns/hostname-resolver.ts';
import { ipFamily, type IpAddress } from '../state/ip-address.ts';
import type { WorkloadStore } from '../state/workload-store.ts';

export interface PodNamesOptions {
  readonly store: WorkloadStore;
  readonly clusterDomain: string;
  readonly preferredServiceNamespace: string | undefined;
  readonly sockets: { readonly ipv6: boolean };
  /** For names that the mesh doesn't know. */
  readonly hostnames: Pick<HostnameResolver, 'resolve'>;
}

/** The first address of a name, as a pod would hear it from its DNS proxy; undefined if it has none. */
export async function addressOfName(
  question: NameQuestion,
  { store, clusterDomain, preferredServiceNamespace, sockets, hostnames }: PodNamesOptions,
): Promise<IpAddress | undefined> {
  const local = decideAnswer(question, {
    store,
    clusterDomain,
    searchDomains: (namespace) => podSearchDomains(namespace, clusterDomain),
    preferredNamespace: preferredServiceNamespace,
    ipv6: sockets.ipv6,
    random: Math.random,
  });
  if (local !== undefined) return local.addresses[0];
  const found = await hostnames.resolve(question.name).catch(() => []);
  return found.find((ip) => ipFamily(ip) === question.family);
}
