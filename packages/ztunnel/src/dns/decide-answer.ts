import { candidateNames, withWildcards } from './candidate-names.ts';
import type { LocalAnswer } from './message-writer.ts';
import type { Random } from '../decide/load-balance.ts';
import { ipFamily, type IpAddress } from '../state/ip-address.ts';
import type { Service, Workload } from '../state/workload.ts';
import { isVisible, type WorkloadStore } from '../state/workload-store.ts';

export interface NameQuestion {
  readonly name: string;
  readonly family: 4 | 6;
  /** Who asks. */
  readonly client: Workload;
}

export interface AnswerContext {
  readonly store: WorkloadStore;
  readonly clusterDomain: string;
  /** What the resolver of a client in this namespace may have added to a name. */
  readonly searchDomains: (namespace: string) => readonly string[];
  /** PREFERED_SERVICE_NAMESPACE: whose service is taken where nothing else decides. */
  readonly preferredNamespace: string | undefined;
  readonly ipv6: boolean;
  readonly random: Random;
}

/** The addresses of a name of the mesh, in random order; undefined for a name that isn't one. Pure but for `random`. */
export function decideAnswer(question: NameQuestion, context: AnswerContext): LocalAnswer | undefined {
  const match = findService(question, context);
  if (match === undefined) return undefined;
  const { service, canonicalName } = match;
  const { family, client } = question;
  if (!allowsFamily(service, family, context.ipv6)) return { canonicalName: undefined, addresses: [] };
  const addresses = serviceAddresses(service, family, client, context.store);
  if (addresses.length === 0) return { canonicalName: undefined, addresses };
  return { canonicalName, addresses: shuffled(addresses, context.random) };
}

interface Match {
  readonly service: Service;
  readonly canonicalName: string | undefined;
}

/** A wildcard that covers an earlier candidate goes before an exact hit on a later one. */
function findService({ name, client }: NameQuestion, context: AnswerContext): Match | undefined {
  const { namespace } = client;
  const { clusterDomain } = context;
  const searchDomains = context.searchDomains(namespace);
  for (const candidate of candidateNames(name, { namespace, clusterDomain, searchDomains })) {
    for (const searched of withWildcards(candidate.name)) {
      const service = preferredService(searched, namespace, context);
      if (service === undefined) continue;
      return { service, canonicalName: searched.startsWith('*') ? undefined : candidate.stripped };
    }
  }
  return undefined;
}

function preferredService(
  hostname: string,
  clientNamespace: string,
  { store, clusterDomain, preferredNamespace }: AnswerContext,
): Service | undefined {
  const isKubernetes = hostname.endsWith(`.svc.${clusterDomain}`);
  const visible = store
    .servicesByHostname(hostname)
    .filter((service) => (isKubernetes || service.vips.length > 0) && isVisible(service, clientNamespace));
  return (
    visible.find(({ namespace }) => namespace === clientNamespace) ??
    visible.find(({ canonical }) => canonical) ??
    visible.find(({ namespace }) => namespace === preferredNamespace) ??
    visible[0]
  );
}

function allowsFamily({ ipFamilies }: Service, family: 4 | 6, ipv6: boolean): boolean {
  if (family === 6 && !ipv6) return false;
  return ipFamilies === undefined || ipFamilies === 'Dual' || ipFamilies === `IPv${family}`;
}

function serviceAddresses(
  service: Service,
  family: 4 | 6,
  client: Workload,
  store: WorkloadStore,
): readonly IpAddress[] {
  if (service.vips.length > 0) {
    return service.vips
      .filter(({ network, ip }) => network === client.network && ipFamily(ip) === family)
      .map(({ ip }) => ip);
  }
  // Headless: each endpoint's own address.
  const addresses: IpAddress[] = [];
  for (const { isHealthy, addresses: own } of store.endpoints(service.key)) {
    if (!isHealthy && service.loadBalancer?.healthPolicy !== 'AllowAll') continue;
    const ip = own.find((address) => ipFamily(address) === family);
    if (ip !== undefined) addresses.push(ip);
  }
  return addresses;
}

function shuffled<T>(values: readonly T[], random: Random): readonly T[] {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const [a, b] = [result[i], result[j]];
    // Both indexes are within the array.
    result[i] = b as T;
    result[j] = a as T;
  }
  return result;
}
