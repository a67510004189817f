import { GatewayClass, HBONE_PROTOCOL, Label, NO_WAYPOINT, Port } from '@weft/api';
import { resources, type Condition, type KubernetesObject, type ResourceType } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';

export const DEFAULT_WAYPOINT = 'waypoint';
/** What the definition of Gateways has every new one say. */
const UNSEEN = 'Waiting for controller';
export const trafficTypes = ['service', 'workload', 'all', 'none'] as const;
export type TrafficType = (typeof trafficTypes)[number];

/** A Gateway, with the fields that a waypoint has. */
export interface WaypointGateway extends KubernetesObject {
  readonly spec?: {
    readonly gatewayClassName?: string;
    readonly listeners?: readonly {
      readonly name: string;
      readonly port: number;
      readonly protocol: string;
    }[];
  };
  readonly status?: { readonly conditions?: readonly Condition[] };
}

/** The API server has checked what it stores against the Gateway's schema. */
export const gateways = resources.gateways as ResourceType<WaypointGateway>;

export interface WaypointOptions {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly trafficType: TrafficType | undefined;
  readonly revision: string | undefined;
}

/**
 * The Gateway that stands for a waypoint.
 * @throws WEFT1906 for the name `none`, which in labels means "no waypoint"
 */
export function waypointGateway(o: WaypointOptions): WaypointGateway {
  if (o.name === NO_WAYPOINT) throw new WeftError('WEFT1906', `"${NO_WAYPOINT}" means no waypoint in labels`);
  const labels: Record<string, string> = {};
  if (o.revision !== undefined) labels[Label.revision] = o.revision;
  if (o.trafficType !== undefined) labels[Label.waypointFor] = o.trafficType;
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: {
      name: o.name,
      ...(o.namespace === undefined ? {} : { namespace: o.namespace }),
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    },
    spec: {
      gatewayClassName: GatewayClass.waypoint,
      listeners: [{ name: 'mesh', port: Port.hbone, protocol: HBONE_PROTOCOL }],
    },
  };
}

export function isWaypoint({ spec }: WaypointGateway): boolean {
  return spec?.gatewayClassName === GatewayClass.waypoint;
}

export function conditionOf(gateway: WaypointGateway, type: string): Condition | undefined {
  return gateway.status?.conditions?.find((condition) => condition.type === type);
}

/** `True`, `False`, or `Unknown` while nobody has said anything. */
export function programmed(gateway: WaypointGateway): string {
  return conditionOf(gateway, 'Programmed')?.status ?? 'Unknown';
}

/** The control plane's word and reason, in one line. */
export function programmedReason(gateway: WaypointGateway): string {
  const condition = conditionOf(gateway, 'Programmed');
  if (condition === undefined || condition.message === UNSEEN) return 'no control plane has looked at it yet';
  return [condition.reason, condition.message].filter((part) => part !== undefined && part !== '').join(': ');
}

export function trafficTypeOf({ metadata }: WaypointGateway): string {
  return metadata.labels?.[Label.waypointFor] ?? 'service';
}

export function revisionOf({ metadata }: WaypointGateway): string {
  return metadata.labels?.[Label.revision] ?? 'default';
}
