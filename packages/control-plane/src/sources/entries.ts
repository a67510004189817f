import { Annotation } from '@weft/api';
import type { Labels } from '@weft/collections';
import type { Condition, KubernetesObject, UntypedObject } from '@weft/kubernetes';
import { policyObject } from './policy-objects.ts';

/** ServiceEntry and WorkloadEntry, with the fields that the mesh reads (networking.istio.io/v1). */

export interface EntryPort {
  readonly name: string;
  readonly number: number;
  readonly protocol?: string;
  readonly targetPort?: number;
}

/** One place to send to: inline in a ServiceEntry, or a WorkloadEntry's whole specification. */
export interface EntryEndpoint {
  /** An IP or a name; absent where only a network is known. */
  readonly address?: string;
  /** By the name of a port of the service. */
  readonly ports?: Readonly<Record<string, number>>;
  readonly labels?: Labels;
  readonly network?: string;
  /** `region/zone/subzone`. */
  readonly locality?: string;
  readonly weight?: number;
  readonly serviceAccount?: string;
}

export type Resolution = 'NONE' | 'STATIC' | 'DNS' | 'DNS_ROUND_ROBIN' | 'DYNAMIC_DNS';

export interface ServiceEntrySpec {
  readonly hosts?: readonly string[];
  readonly addresses?: readonly string[];
  readonly ports?: readonly EntryPort[];
  readonly location?: 'MESH_EXTERNAL' | 'MESH_INTERNAL';
  readonly resolution?: Resolution;
  readonly endpoints?: readonly EntryEndpoint[];
  readonly workloadSelector?: { readonly labels?: Labels };
  readonly subjectAltNames?: readonly string[];
  readonly exportTo?: readonly string[];
}

interface EntryObject<Spec> {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  /** RFC 3339, so that text order is time order. */
  readonly createdAt: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly spec: Spec;
  /** As read back from status, to see whether ours has to be written. */
  readonly conditions: readonly Condition[];
}

/** An address that the mesh gave to a host that has none. */
export interface AllocatedAddress {
  readonly host: string;
  readonly value: string;
}

export interface ServiceEntryFacts extends EntryObject<ServiceEntrySpec> {
  readonly allocated: readonly AllocatedAddress[];
}

export interface WorkloadEntryFacts extends EntryObject<EntryEndpoint> {}

export function serviceEntryFacts(object: UntypedObject & KubernetesObject): ServiceEntryFacts {
  return { ...entryObject<ServiceEntrySpec>(object), allocated: allocatedAddresses(object.status) };
}

/** Labels of the object win over those of its specification. */
export function workloadEntryFacts(object: UntypedObject & KubernetesObject): WorkloadEntryFacts {
  const entry = entryObject<EntryEndpoint>(object);
  return { ...entry, labels: { ...entry.spec.labels, ...entry.labels } };
}

/** What others write on the object without meaning us isn't kept: it would only cause work. */
const readAnnotations: readonly string[] = [
  Annotation.trafficDistribution,
  Annotation.canaryWeight,
  Annotation.connectStrategy,
  Annotation.redirection,
  Annotation.autoRegistrationGroup,
];

function entryObject<Spec>(object: UntypedObject & KubernetesObject): EntryObject<Spec> {
  const { annotations, ...rest } = policyObject<Spec>(object);
  return {
    ...rest,
    labels: object.metadata.labels ?? {},
    annotations: Object.fromEntries(
      Object.entries(annotations).filter(([name]) => readAnnotations.includes(name)),
    ),
  };
}

function allocatedAddresses(status: unknown): readonly AllocatedAddress[] {
  if (typeof status !== 'object' || status === null || !('addresses' in status)) return [];
  const { addresses } = status;
  if (!Array.isArray(addresses)) return [];
  return addresses.flatMap(({ host, value }: Partial<AllocatedAddress>) =>
    typeof host === 'string' && typeof value === 'string' ? [{ host, value }] : [],
  );
}
