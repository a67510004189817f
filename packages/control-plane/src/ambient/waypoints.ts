import { Annotation, GatewayController, HBONE_PROTOCOL, Label, Port } from '@weft/api';
import { istio } from '@weft/api/workload';
import type { Labels } from '@weft/collections';
import { matchesLabelSelector, type LabelSelector } from '@weft/kubernetes';
import type {
  GatewayAddressValue,
  GatewayClassFacts,
  GatewayFacts,
  GatewayListener,
} from '../sources/gateway-objects.ts';

/** A Gateway whose class makes it a waypoint. */
export interface Waypoint {
  readonly namespace: string;
  readonly name: string;
  readonly serves: TrafficType;
  /** Undefined until the Gateway's status has one: nobody can be sent there. */
  readonly address: WaypointAddress | undefined;
  readonly attachment: NamespacePolicy;
  /** Of a deployment that the mesh makes; a foreign one runs as whatever its pods run as. */
  readonly serviceAccount: string | undefined;
  /** How its pods want to learn where a connection was going, other than from the tunnel. */
  readonly inboundBinding: ApplicationTunnel | undefined;
}

type ApplicationTunnel = istio.workload.ApplicationTunnel.$Properties;

export type WaypointAddress =
  | { readonly kind: 'hostname'; readonly hostname: string }
  | { readonly kind: 'ip'; readonly ip: string };

export type TrafficType = 'service' | 'workload' | 'all' | 'none';

/** From which namespaces objects may attach. */
export type NamespacePolicy =
  | { readonly kind: 'same' }
  | { readonly kind: 'all' }
  | { readonly kind: 'selector'; readonly selector: LabelSelector };

const trafficTypes: readonly string[] = ['service', 'workload', 'all', 'none'] satisfies TrafficType[];

/** Undefined for gateways of other classes. */
export function waypointOf(
  gateway: GatewayFacts,
  gatewayClass: GatewayClassFacts | undefined,
): Waypoint | undefined {
  if (gatewayClass?.controllerName !== GatewayController.waypoint) return undefined;
  const { namespace, name, spec, status } = gateway;
  const binding = inboundBinding(
    gateway.annotations[Annotation.waypointInboundBinding] ??
      gatewayClass.annotations[Annotation.waypointInboundBinding] ??
      '',
  );
  return {
    namespace,
    name,
    serves: trafficType(gateway.labels) ?? trafficType(gatewayClass.labels) ?? 'service',
    address: preferredAddress(status.addresses ?? []),
    attachment: attachment(spec.listeners ?? [], binding),
    serviceAccount: isManaged(gateway) ? waypointServiceAccount(gateway) : undefined,
    inboundBinding: binding,
  };
}

/** `PROXY/15088`, `PROXY` or `NONE`; anything else counts as nothing said. */
function inboundBinding(text: string): ApplicationTunnel | undefined {
  const [, protocol = '', port = '0'] = /^(PROXY|NONE)(?:\/(\d{1,5}))?$/.exec(text) ?? [];
  const { Protocol } = istio.workload.ApplicationTunnel;
  if (protocol === '' || Number(port) > 65_535) return undefined;
  return protocol === 'NONE' ? { protocol: Protocol.NONE } : { protocol: Protocol.PROXY, port: Number(port) };
}

/** Whether the mesh makes the deployment: an address given by the user says that there is one already. */
export function isManaged({ spec }: GatewayFacts): boolean {
  const { addresses = [] } = spec;
  return !(addresses.length > 1 || addresses.some(({ type }) => type === 'Hostname'));
}

export function waypointResourceName(gateway: GatewayFacts): string {
  return gateway.annotations[Annotation.gatewayNameOverride] || gateway.name;
}

export function waypointServiceAccount(gateway: GatewayFacts): string {
  return gateway.annotations[Annotation.gatewayServiceAccount] || waypointResourceName(gateway);
}

export function allowsNamespace(waypoint: Waypoint, namespace: string, namespaceLabels: Labels): boolean {
  switch (waypoint.attachment.kind) {
    case 'same':
      return namespace === waypoint.namespace;
    case 'all':
      return true;
    case 'selector':
      // An operator that nobody knows matches nothing: attaching is a permission.
      return matchesLabelSelector(waypoint.attachment.selector, namespaceLabels);
  }
}

function trafficType(labels: Labels): TrafficType | undefined {
  const value = labels[Label.waypointFor];
  return value !== undefined && trafficTypes.includes(value) ? (value as TrafficType) : undefined; // just checked
}

/** Names survive a change of address. */
function preferredAddress(addresses: readonly GatewayAddressValue[]): WaypointAddress | undefined {
  const hostname = addresses.find(({ type, value }) => type === 'Hostname' && value)?.value;
  if (hostname !== undefined) return { kind: 'hostname', hostname };
  const ip = addresses.find(({ type = 'IPAddress', value }) => type === 'IPAddress' && value)?.value;
  return ip === undefined ? undefined : { kind: 'ip', ip };
}

/** Of the listener that takes what comes in: the one that the binding names, else that of the tunnels. */
function attachment(
  listeners: readonly GatewayListener[],
  binding: ApplicationTunnel | undefined,
): NamespacePolicy {
  const hbone =
    listeners.find(({ port }) => port === binding?.port) ??
    listeners.find(({ protocol, port }) => protocol === HBONE_PROTOCOL && port === Port.hbone);
  const { from = 'Same', selector } = hbone?.allowedRoutes?.namespaces ?? {};
  if (from === 'All') return { kind: 'all' };
  return from === 'Selector' && selector !== undefined ? { kind: 'selector', selector } : { kind: 'same' };
}
