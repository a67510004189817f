import { Annotation, HBONE_PROTOCOL, Label, Port } from '@weft/api';
import { type Condition, timestamp } from '@weft/kubernetes';
import { isManaged, waypointResourceName } from '../ambient/waypoints.ts';
import { serviceHostname } from '../ambient/services.ts';
import type { GatewayAddressValue, GatewayFacts, GatewayListener } from '../sources/gateway-objects.ts';
import type { ServiceFacts } from '../sources/facts.ts';

/** A condition before anybody knows since when it holds. */
export interface WantedCondition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

export interface WantedGatewayStatus {
  readonly addresses: readonly GatewayAddressValue[];
  readonly conditions: readonly WantedCondition[];
  readonly listeners: readonly WantedListenerStatus[];
}

export interface WantedListenerStatus {
  readonly name: string;
  readonly attachedRoutes: number;
  readonly supportedKinds: readonly [];
  readonly conditions: readonly WantedCondition[];
}

export interface GatewayStatusContext {
  /** The Service by which the waypoint is reached. */
  readonly service: ServiceFacts | undefined;
  readonly readyPods: number;
  readonly clusterDomain: string;
  /** Why what the Gateway refers to as its parameters can't be used. */
  readonly invalidParameters?: string | undefined;
}

/**
 * The status of a waypoint Gateway. An address makes clients send traffic there, so it is announced once there is
 * somebody to take it, and then kept: while every instance is gone, requests fail rather than go around the waypoint.
 */
export function waypointStatus(gateway: GatewayFacts, context: GatewayStatusContext): WantedGatewayStatus {
  const all = gateway.spec.listeners ?? [];
  const listeners = all.map((listener, i) => listenerStatus(listener, all.slice(0, i)));
  const invalid = listeners.filter(({ conditions }) =>
    conditions.some(({ type, status }) => type === 'Accepted' && status === 'False'),
  );
  const addresses = announcedAddresses(gateway, context);
  return {
    addresses,
    conditions: [
      accepted(gateway, context, { invalid: invalid.length, all: listeners.length }),
      programmed(gateway, context, addresses.length > 0),
    ],
    listeners,
  };
}

function accepted(
  { spec }: GatewayFacts,
  { invalidParameters }: GatewayStatusContext,
  listeners: { readonly invalid: number; readonly all: number },
): WantedCondition {
  const type = 'Accepted';
  const { invalid, all } = listeners;
  if (invalid > 0) {
    const status = invalid === all ? 'False' : 'True';
    const message = `${invalid} of ${all} listeners cannot be served by a waypoint`;
    return { type, status, reason: 'ListenersNotValid', message };
  }
  if (invalidParameters !== undefined)
    return { type, status: 'False', reason: 'InvalidParameters', message: invalidParameters };
  const ignored = (spec.addresses ?? []).filter(({ type: kind = 'IPAddress' }) => kind !== 'Hostname');
  if (ignored.length > 0) {
    const values = ignored.map(({ value }) => value ?? '').join(' ');
    const message = `only Hostname is supported, ignoring [${values}]`;
    return { type, status: 'False', reason: 'UnsupportedAddress', message };
  }
  if (spec.tls !== undefined) {
    const message = "tls: a waypoint authenticates with the mesh's own certificates";
    return { type, status: 'False', reason: 'UnsupportedValue', message };
  }
  return { type, status: 'True', reason: 'Accepted', message: 'Resource accepted' };
}

function programmed(
  gateway: GatewayFacts,
  { service, readyPods, clusterDomain }: GatewayStatusContext,
  hasAddress: boolean,
): WantedCondition {
  const name = isManaged(gateway) ? waypointResourceName(gateway) : undefined;
  const hostname =
    name === undefined
      ? (gateway.spec.addresses?.find(({ type }) => type === 'Hostname')?.value ?? '')
      : serviceHostname(name, gateway.namespace, clusterDomain);
  const type = 'Programmed';
  if (service === undefined) {
    const message = `Failed to assign to any requested addresses: hostname "${hostname}" not found`;
    return name === undefined
      ? { type, status: 'False', reason: 'AddressNotUsable', message }
      : { type, status: 'False', reason: 'AddressNotAssigned', message };
  }
  if (name !== undefined && service.labels[Label.gatewayManaged] === undefined) {
    const message = `Service ${service.namespace}/${name} exists and is not the mesh's: remove it, or give the waypoint another name with the annotation ${Annotation.gatewayNameOverride}`;
    return { type, status: 'False', reason: 'AddressNotAssigned', message };
  }
  if (!service.ports.some(({ port }) => port === Port.hbone)) {
    const message = `Failed to assign to any requested addresses: port ${Port.hbone} not found for hostname "${hostname}"`;
    return { type, status: 'False', reason: 'AddressNotUsable', message };
  }
  if (readyPods === 0) {
    const message = hasAddress
      ? `no instance of ${hostname} is ready: requests to what uses this waypoint fail until one is`
      : `no instance of ${hostname} is ready yet`;
    return { type, status: 'False', reason: hasAddress ? 'Pending' : 'AddressNotAssigned', message };
  }
  const message = `Resource programmed, assigned to service(s) ${hostname}:${Port.hbone}`;
  return { type, status: 'True', reason: 'Programmed', message };
}

function announcedAddresses(
  gateway: GatewayFacts,
  { service, readyPods, clusterDomain }: GatewayStatusContext,
): readonly GatewayAddressValue[] {
  const written = gateway.status.addresses ?? [];
  const isForeign = isManaged(gateway) && service?.labels[Label.gatewayManaged] === undefined;
  if (service === undefined || isForeign || (readyPods === 0 && written.length === 0)) return written;
  const hostname = serviceHostname(service.name, service.namespace, clusterDomain);
  return [
    ...service.clusterIps.map((value) => ({ type: 'IPAddress', value })),
    { type: 'Hostname', value: hostname },
  ];
}

/** @param before listeners of the same Gateway that come before it, and win */
function listenerStatus(listener: GatewayListener, before: readonly GatewayListener[]): WantedListenerStatus {
  const { name, protocol, port } = listener;
  const good = { reason: 'NoConflicts', message: 'No errors found' };
  const isConflicted = before.some((other) => other.port === port && other.protocol === protocol);
  const refusal = isConflicted
    ? {
        reason: 'HostnameConflict',
        message: 'Listener has a conflict with another listener attached to the same Gateway',
      }
    : listenerRefusal(listener);
  const acceptance: WantedCondition =
    refusal === undefined
      ? { type: 'Accepted', status: 'True', reason: 'Accepted', message: good.message }
      : { type: 'Accepted', status: 'False', ...refusal };
  const kinds = listener.allowedRoutes?.kinds ?? [];
  const resolved: WantedCondition =
    kinds.length === 0
      ? { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: 'No errors found' }
      : {
          type: 'ResolvedRefs',
          status: 'False',
          reason: 'InvalidRouteKinds',
          message: 'routes attach to the Services that use a waypoint, not to its listeners',
        };
  return {
    name,
    attachedRoutes: 0,
    supportedKinds: [],
    conditions: [
      acceptance,
      isConflicted
        ? { ...acceptance, type: 'Conflicted', status: 'True' }
        : { type: 'Conflicted', status: 'False', ...good },
      refusal === undefined
        ? { type: 'Programmed', status: 'True', reason: 'Programmed', message: good.message }
        : { ...acceptance, type: 'Programmed', reason: isConflicted ? refusal.reason : 'Invalid' },
      resolved,
    ],
  };
}

function listenerRefusal({
  protocol,
  port,
  hostname,
  tls,
}: GatewayListener): Pick<WantedCondition, 'reason' | 'message'> | undefined {
  if (protocol !== HBONE_PROTOCOL || port !== Port.hbone) {
    const message = `a waypoint listens with protocol ${HBONE_PROTOCOL} on port ${Port.hbone}, not ${protocol} on ${port}`;
    return { reason: 'UnsupportedProtocol', message };
  }
  if (hostname !== undefined)
    return { reason: 'UnsupportedValue', message: 'hostname: a waypoint serves whatever uses it' };
  if (tls !== undefined) {
    const message = "tls: a waypoint authenticates with the mesh's own certificates";
    return { reason: 'UnsupportedValue', message };
  }
  return undefined;
}

/** Whether what was read back says the same, of the generation at hand. */
export function sameConditions(
  written: readonly Condition[],
  wanted: readonly WantedCondition[],
  generation: number,
): boolean {
  return wanted.every(({ type, status, reason, message }) => {
    const found = written.find((condition) => condition.type === type);
    return (
      found?.status === status &&
      found.reason === reason &&
      found.message === message &&
      Number(found.observedGeneration) === generation // some CRDs let it be a string
    );
  });
}

/** Complete conditions: an unchanged status keeps its time. */
export function stampConditions(
  wanted: readonly WantedCondition[],
  written: readonly Condition[],
  o: { readonly generation: number; readonly now: number },
): Condition[] {
  return wanted.map((condition) => {
    const before = written.find(({ type }) => type === condition.type);
    const unchanged = before?.status === condition.status ? before.lastTransitionTime : undefined;
    const lastTransitionTime = unchanged ?? timestamp(o.now);
    return { ...condition, observedGeneration: o.generation, lastTransitionTime };
  });
}
