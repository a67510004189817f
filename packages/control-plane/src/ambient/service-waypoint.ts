import { Label, Port, REQUIRE_WAYPOINT_EXTENSION } from '@weft/api';
import { istio } from '@weft/api/workload';
import type { NamespaceFacts, ServiceFacts } from '../sources/facts.ts';
import { addressBytes } from './addresses.ts';
import {
  type RequireWaypointDefault,
  type RequiringKind,
  requireWaypointPolicyKey,
  requiresWaypoint,
  unresolvableWaypoint,
} from './require-waypoint.ts';
import { serviceHostname } from './services.ts';
import {
  type BindingSubject,
  type CanaryBinding,
  type WaypointBinding,
  type WaypointLookup,
  type WaypointReference,
  bindCanary,
  bindWaypoint,
} from './waypoint-binding.ts';
import type { Waypoint } from './waypoints.ts';

type GatewayAddress = istio.workload.GatewayAddress.$Properties;

/** Which waypoint serves a Service, and whether it may be reached without. */
export interface ServiceWaypoint {
  readonly binding: WaypointBinding;
  readonly canary: CanaryBinding;
  readonly required: boolean;
  /** Ingress gateways use the waypoint, too. */
  readonly ingress: boolean;
}

export interface ServiceWaypointContext extends WaypointLookup {
  readonly namespace: NamespaceFacts | undefined;
  readonly isTargeted: boolean;
  readonly requireByDefault: RequireWaypointDefault;
}

export function serviceWaypoint(
  service: Pick<ServiceFacts, 'namespace' | 'labels' | 'canaryWeight'> & Pick<BindingSubject, 'isPrivate'>,
  context: ServiceWaypointContext,
): ServiceWaypoint {
  const { labels } = service;
  // A waypoint in front of a waypoint would never end.
  if (labels[Label.gatewayManaged] !== undefined) {
    return { binding: { kind: 'unasked' }, canary: { kind: 'unasked' }, required: false, ingress: false };
  }
  const namespaceLabels = context.namespace?.labels ?? {};
  const isPrivate = service.isPrivate === true ? { isPrivate: true } : {};
  const subject = {
    kind: 'service',
    namespace: service.namespace,
    labels,
    namespaceLabels,
    ...isPrivate,
  } as const;
  const binding = bindWaypoint(subject, context);
  const weights = { own: service.canaryWeight, namespace: context.namespace?.canaryWeight };
  const canary: CanaryBinding =
    binding.kind === 'bound' ? bindCanary({ ...subject, weights }, binding, context) : { kind: 'unasked' };
  const required = requiresWaypoint({
    labels,
    namespaceLabels,
    asksForWaypoint: binding.kind !== 'unasked',
    isTargeted: context.isTargeted,
    meshDefault: context.requireByDefault,
  });
  const ingress = labels[Label.ingressUseWaypoint] ?? namespaceLabels[Label.ingressUseWaypoint];
  return { binding, canary, required, ingress: ingress === 'true' };
}

/** The policies by which workloads refuse whoever comes around the waypoints of their Services; sorted. */
export function requirementsOf(
  kind: RequiringKind,
  services: readonly Pick<ServiceFacts, 'namespace' | 'name'>[],
  waypointOf: (service: string) => ServiceWaypoint | undefined,
): readonly string[] {
  const names = services
    .filter(({ namespace, name }) => waypointOf(`${namespace}/${name}`)?.required)
    .map(({ namespace, name }) => requireWaypointPolicyKey({ kind, namespace, name }));
  return [...new Set(names)].sort();
}

/** Every waypoint that takes connections to the Service. */
export function servingWaypoints({ binding, canary }: ServiceWaypoint): readonly Waypoint[] {
  return [binding, canary].flatMap((one) => (one.kind === 'bound' ? [one.waypoint] : []));
}

export interface WaypointAddressContext {
  readonly network: string;
  readonly clusterDomain: string;
}

/** The fields of a workload API Service that speak of waypoints. */
export function waypointFields(
  { namespace }: Pick<ServiceFacts, 'namespace'>,
  { binding, canary, required, ingress }: ServiceWaypoint,
  context: WaypointAddressContext,
): Pick<
  istio.workload.Service.$Properties,
  'waypoint' | 'weightedWaypoints' | 'ingressUseWaypoint' | 'extensions'
> {
  const waypoint = required
    ? requiredAddress(namespace, binding, context)
    : binding.kind === 'bound'
      ? waypointAddress(binding.waypoint, context)
      : undefined;
  // A canary has been bound with its address, so the share that is sent there arrives.
  const second = canary.kind === 'bound' ? waypointAddress(canary.waypoint, context) : undefined;
  const shares =
    waypoint === undefined || second === undefined || canary.kind !== 'bound'
      ? []
      : [
          { destination: waypoint, weight: 100 - canary.percent },
          { destination: second, weight: canary.percent },
        ];
  return {
    ...(waypoint === undefined ? {} : { waypoint }),
    ...(shares.length === 0 ? {} : { weightedWaypoints: shares }),
    ...(waypoint === undefined || !ingress ? {} : { ingressUseWaypoint: true }),
    ...(required ? { extensions: [{ name: REQUIRE_WAYPOINT_EXTENSION }] } : {}),
  };
}

/** Undefined while it has no address, so that nobody is sent there. */
export function waypointAddress(
  { namespace, address }: Waypoint,
  { network }: Pick<WaypointAddressContext, 'network'>,
): GatewayAddress | undefined {
  if (address?.kind === 'hostname') {
    return { hostname: { namespace, hostname: address.hostname }, hboneMtlsPort: Port.hbone };
  }
  const bytes = address === undefined ? undefined : addressBytes(address.ip);
  return bytes === undefined
    ? undefined
    : { address: { network, address: bytes }, hboneMtlsPort: Port.hbone };
}

/** By name, and so stable: a client that can't resolve it refuses the connection instead of going around it. */
function requiredAddress(
  serviceNamespace: string,
  binding: WaypointBinding,
  { clusterDomain }: WaypointAddressContext,
): GatewayAddress {
  const reference = requiredReference(binding);
  if (reference === undefined) {
    const hostname = unresolvableWaypoint(serviceNamespace);
    return { hostname: { namespace: serviceNamespace, hostname }, hboneMtlsPort: Port.hbone };
  }
  const { namespace, name } = reference;
  // A waypoint that announces another name is known by that one only.
  const announced = binding.kind === 'bound' ? binding.waypoint.address : undefined;
  const hostname =
    announced?.kind === 'hostname' ? announced.hostname : serviceHostname(name, namespace, clusterDomain);
  return { hostname: { namespace, hostname }, hboneMtlsPort: Port.hbone };
}

/** The waypoint that has to be there; undefined where there can't be one that would take the traffic. */
function requiredReference(
  binding: WaypointBinding,
): Pick<WaypointReference, 'namespace' | 'name'> | undefined {
  switch (binding.kind) {
    case 'unasked':
      return undefined;
    case 'bound':
      return binding.waypoint;
    case 'refused':
      return binding.reason === 'WaypointIsNotReady' ? binding.reference : undefined;
  }
}

/**
 * Who may deliver to a Service that requires its waypoint: principals without scheme, sorted.
 * @param accountsOf service accounts of the pods of a Gateway that the mesh didn't deploy, by `namespace/name`
 */
export function waypointPrincipals(
  { binding, canary }: ServiceWaypoint,
  context: {
    readonly trustDomains: readonly string[];
    readonly waypoint: WaypointLookup['waypoint'];
    readonly accountsOf: (key: string) => readonly string[];
  },
): string[] {
  const references = [
    requiredReference(binding) ?? [],
    canary.kind === 'bound' ? canary.waypoint : [],
  ].flat();
  return principalsOf(references, context);
}

/** The principals of Gateways' pods, without scheme, sorted. */
export function principalsOf(
  references: readonly Pick<WaypointReference, 'namespace' | 'name'>[],
  context: Parameters<typeof waypointPrincipals>[1],
): string[] {
  const principals = references.flatMap(({ namespace, name }) => {
    const key = `${namespace}/${name}`;
    const waypoint = context.waypoint(key);
    // A Gateway that isn't there yet is going to be deployed under its own name.
    const accounts =
      waypoint === undefined
        ? [name]
        : waypoint.serviceAccount === undefined
          ? context.accountsOf(key)
          : [waypoint.serviceAccount];
    return context.trustDomains.flatMap((domain) =>
      accounts.map((account) => `${domain}/ns/${namespace}/sa/${account}`),
    );
  });
  return [...new Set(principals)].sort();
}
