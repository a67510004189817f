import { Annotation } from '@weft/api';
import { istio } from '@weft/api/workload';
import type { Labels } from '@weft/collections';
import type { NamespaceFacts } from '../sources/facts.ts';
import type { EntryPort, Resolution, ServiceEntryFacts } from '../sources/entries.ts';
import { parseCidr } from './addresses.ts';
import { singleAddress } from './cluster-names.ts';
import { type ServiceContext, appProtocol, loadBalancingOf } from './services.ts';
import type { Visibility } from './visibility.ts';

const { HealthPolicy, Mode } = istio.workload.LoadBalancing;

/** One host of a ServiceEntry: a service like any other, whose addresses and endpoints a user wrote down. */
export interface EntryService {
  readonly namespace: string;
  /** Of the ServiceEntry; several hosts share it. */
  readonly name: string;
  readonly hostname: string;
  readonly labels: Labels;
  /** Undefined where the endpoints are inline, or there are none. */
  readonly selector: Labels | undefined;
  /** IPs and CIDRs: the user's, else those allocated for this host. */
  readonly addresses: readonly string[];
  readonly ports: readonly EntryPort[];
  readonly resolution: Resolution;
  readonly subjectAltNames: readonly string[];
  readonly visibility: Exclude<Visibility, 'NONE'>;
  /** The one that clients get who don't say which namespace's service of that name they mean. */
  readonly canonical: boolean;
  readonly trafficDistribution: string | undefined;
  readonly canaryWeight: string | undefined;
}

/** A ServiceEntry that somebody may see. */
export interface VisibleEntry {
  readonly entry: ServiceEntryFacts;
  readonly visibility: Exclude<Visibility, 'NONE'>;
}

export interface RivalLookup {
  /** Namespace of the Kubernetes Service that has this hostname. */
  readonly kubernetesNamespace: (hostname: string) => string | undefined;
  /** Every visible ServiceEntry with this host, itself included. */
  readonly entries: (hostname: string) => readonly VisibleEntry[];
  /** Whether a namespace may give itself such a host, but nobody else. */
  readonly isForOwnNamespace: (hostname: string, namespace: string) => boolean;
  /** Namespaces of the Kubernetes Services that have this address. */
  readonly addressNamespaces: (address: string) => readonly string[];
}

/**
 * The hosts that are this entry's to serve. In each namespace a hostname has one service: Kubernetes' own, else the
 * oldest entry's. Of all namespaces' services of a name one is canonical, by the same order; but none that claims the
 * address of another namespace's Kubernetes Service: clients go to what is canonical.
 */
export function entryServices({ entry, visibility }: VisibleEntry, rivals: RivalLookup): EntryService[] {
  const { namespace, name, labels, annotations, spec } = entry;
  const { resolution = 'NONE', workloadSelector, subjectAltNames = [], ports = [] } = spec;
  const selector = workloadSelector?.labels ?? {};
  return [...new Set(spec.hosts ?? [])].flatMap((hostname): EntryService[] => {
    const kubernetes = rivals.kubernetesNamespace(hostname);
    const claims = rivals.entries(hostname);
    const inNamespace = claims.filter((claim) => claim.entry.namespace === namespace);
    if (kubernetes === namespace || !isSame(oldestEntry(inNamespace), entry)) return [];
    const seenBy = (claim: VisibleEntry): EntryService['visibility'] =>
      rivals.isForOwnNamespace(hostname, claim.entry.namespace) ? 'NAMESPACE' : claim.visibility;
    const forAll = claims.filter((claim) => seenBy(claim) === 'PUBLIC');
    const own = spec.addresses ?? [];
    const isOthers = own
      .flatMap((address) => singleAddress(address) ?? [])
      .some((address) => rivals.addressNamespaces(address).some((other) => other !== namespace));
    return [
      {
        namespace,
        name,
        hostname,
        labels,
        selector: Object.keys(selector).length === 0 ? undefined : selector,
        addresses:
          own.length > 0
            ? own
            : entry.allocated.filter(({ host }) => host === hostname).map(({ value }) => value),
        ports,
        resolution,
        subjectAltNames,
        visibility: seenBy({ entry, visibility }),
        canonical: kubernetes === undefined && !isOthers && isSame(oldestEntry(forAll), entry),
        trafficDistribution: annotations[Annotation.trafficDistribution],
        canaryWeight: annotations[Annotation.canaryWeight],
      },
    ];
  });
}

/** Of the services of one hostname, the one that is meant in a namespace: its own, else the canonical one. */
export function seenFrom(namespace: string, services: readonly EntryService[]): EntryService | undefined {
  return (
    services.find((service) => service.namespace === namespace) ?? services.find(({ canonical }) => canonical)
  );
}

function oldestEntry(claims: readonly VisibleEntry[]): ServiceEntryFacts | undefined {
  const [oldest] = claims.map(({ entry }) => entry).sort(byAge);
  return oldest;
}

export function byAge(a: ServiceEntryFacts, b: ServiceEntryFacts): number {
  return compare(a.createdAt, b.createdAt) || compare(entryKey(a), entryKey(b));
}

function isSame(a: ServiceEntryFacts | undefined, b: ServiceEntryFacts): boolean {
  return a !== undefined && entryKey(a) === entryKey(b);
}

function entryKey({ namespace, name }: ServiceEntryFacts): string {
  return `${namespace}/${name}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** `namespace/hostname`, as in the workload API. */
export function entryServiceKey({
  namespace,
  hostname,
}: Pick<EntryService, 'namespace' | 'hostname'>): string {
  return `${namespace}/${hostname}`;
}

/** The message that data planes get. Its resource name is `namespace/hostname`. */
export function entryServiceMessage(
  service: EntryService,
  context: Pick<ServiceContext, 'network' | 'waypoint'> & { readonly namespace: NamespaceFacts | undefined },
): istio.workload.Service.$Properties {
  const { network, namespace } = context;
  const preference = loadBalancingOf(
    { trafficDistributionAnnotation: service.trafficDistribution },
    namespace,
  );
  const loadBalancing =
    service.resolution === 'NONE'
      ? { ...preference, mode: Mode.PASSTHROUGH, healthPolicy: HealthPolicy.ALLOW_ALL }
      : preference;
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    addresses: service.addresses.flatMap((text) => {
      const cidr = parseCidr(text);
      if (cidr === undefined) return [];
      const { address, length } = cidr;
      return [length === address.length * 8 ? { network, address } : { network, address, length }];
    }),
    ports: service.ports.map(({ name, number, targetPort, protocol }) => ({
      servicePort: number,
      targetPort: targetPort || number,
      appProtocol: appProtocol({ name, appProtocol: protocol, port: number }),
    })),
    subjectAltNames: [...service.subjectAltNames],
    canonical: service.canonical,
    visibility:
      service.visibility === 'NAMESPACE'
        ? istio.workload.Visibility.NAMESPACE
        : istio.workload.Visibility.PUBLIC,
    ...(loadBalancing === undefined ? {} : { loadBalancing }),
    ...context.waypoint,
  };
}
