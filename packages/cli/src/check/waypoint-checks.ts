import { ServiceCondition } from '@weft/api';
import type { Condition, KubernetesObject } from '@weft/kubernetes';
import { programmed, programmedReason, type WaypointGateway } from '../waypoint/gateway.ts';
import type { CheckResult } from './checks.ts';

/** What the control plane adds where nobody may go without the waypoint. */
const REFUSED = 'requests are refused';

interface ServiceView extends KubernetesObject {
  readonly status?: { readonly conditions?: readonly Condition[] };
}

/** Undefined where there are none. */
export function checkWaypoints(waypoints: readonly WaypointGateway[]): CheckResult | undefined {
  if (waypoints.length === 0) return undefined;
  const unready = waypoints.filter((gateway) => programmed(gateway) !== 'True');
  const name = `${waypoints.length - unready.length} of ${waypoints.length} waypoints are ready`;
  if (unready.length === 0) return { name, status: 'ok' };
  return {
    name,
    status: 'failed',
    message: unready.map((gateway) => `${key(gateway)}: ${programmedReason(gateway)}`).join('\n'),
    next: 'weft kubectl describe pod -n <namespace> -l gateway.networking.k8s.io/gateway-name=<waypoint>',
  };
}

/** Services that ask for a waypoint and don't get it: some are unreachable, the others are reached around it. */
export function checkWaypointBindings(services: readonly ServiceView[]): CheckResult | undefined {
  const conditions = services.flatMap((service) => {
    const condition = service.status?.conditions?.find(({ type }) => type === ServiceCondition.waypointBound);
    return condition === undefined ? [] : [{ service, condition }];
  });
  if (conditions.length === 0) return undefined;
  const unbound = conditions.filter(({ condition }) => condition.status !== 'True');
  const name = `${conditions.length - unbound.length} of ${conditions.length} services have the waypoint that they ask for`;
  if (unbound.length === 0) return { name, status: 'ok' };
  const isRefused = unbound.some(({ condition }) => condition.message?.includes(REFUSED));
  return {
    name,
    status: isRefused ? 'failed' : 'warning',
    message: unbound
      .map(({ service, condition }) => `${key(service)}: ${condition.reason}: ${condition.message}`)
      .join('\n'),
    next: 'weft waypoint list -A; the labels istio.io/use-waypoint of a Service and of its namespace name the waypoint.',
  };
}

function key({ metadata }: KubernetesObject): string {
  return `${metadata.namespace}/${metadata.name}`;
}
