import { Annotation, ServiceCondition } from '@weft/api';
import type { ServiceEntryFacts } from '../sources/entries.ts';
import type { RequiringKind } from '../ambient/require-waypoint.ts';
import type { ServiceWaypoint } from '../ambient/service-waypoint.ts';
import type { Visibility } from '../ambient/visibility.ts';
import type { WaypointBinding } from '../ambient/waypoint-binding.ts';
import type { WantedCondition } from '../gateway/gateway-status.ts';

/** Undefined for what has nothing to do with waypoints. */
export function waypointBound(
  kind: RequiringKind,
  { binding, canary, required, ingress }: ServiceWaypoint,
): WantedCondition | undefined {
  const type = ServiceCondition.waypointBound;
  const refusal = required ? `; requests are refused, because the ${kind} requires its waypoint` : '';
  switch (binding.kind) {
    case 'unasked':
      return required
        ? {
            type,
            status: 'False',
            reason: 'WaypointRequired',
            message: `the ${kind} requires a waypoint, but no label istio.io/use-waypoint names one${refusal}`,
          }
        : undefined;
    case 'refused':
      return { type, status: 'False', reason: binding.reason, message: `${binding.message}${refusal}` };
    case 'bound': {
      const { namespace, name } = binding.waypoint;
      if (canary.kind === 'refused') {
        const message = `${canary.message}; everything goes to waypoint ${namespace}/${name}`;
        return { type, status: 'False', reason: canary.reason, message };
      }
      const notes = [
        ...(canary.kind === 'bound'
          ? [`${canary.percent}% to canary ${canary.waypoint.namespace}/${canary.waypoint.name}`]
          : []),
        ...(ingress ? ['ingress traffic included'] : []),
        ...(required ? ['nothing else may deliver to it'] : []),
      ];
      const message = [`Successfully attached to waypoint ${namespace}/${name}`, ...notes].join('; ');
      return { type, status: 'True', reason: 'WaypointAccepted', message };
    }
  }
}

/** Of a workload that nobody requires to be behind its waypoint. */
export function workloadWaypointBound(binding: WaypointBinding): WantedCondition | undefined {
  const alone = { canary: { kind: 'unasked' }, required: false, ingress: false } as const;
  return waypointBound('Service', { binding, ...alone });
}

const RACING = 'RACE_FIRST_TCP_CONNECT';

/** What only a waypoint can do for a ServiceEntry that has none; undefined where nothing is missing. */
export function waypointMissing(
  { spec, annotations }: Pick<ServiceEntryFacts, 'spec' | 'annotations'>,
  binding: WaypointBinding,
): WantedCondition | undefined {
  if (binding.kind === 'bound') return undefined;
  const missing = (reason: string, message: string): WantedCondition => ({
    type: ServiceCondition.waypointMissing,
    status: 'True',
    reason,
    message,
  });
  const { hosts = [], resolution = 'NONE' } = spec;
  const wildcard = hosts.find((host) => host.startsWith('*'));
  if (wildcard !== undefined && resolution !== 'NONE') {
    return missing(
      'NoWaypointForWildcardService',
      `nobody resolves ${wildcard}: a ServiceEntry with a wildcard needs a waypoint`,
    );
  }
  return annotations[Annotation.connectStrategy] === RACING
    ? missing(
        'NoWaypointForRacingConnectStrategy',
        `${Annotation.connectStrategy}: ${RACING} takes a waypoint; without one it has no effect`,
      )
    : undefined;
}

export function visibilityApplied(visibility: Visibility): WantedCondition {
  const type = ServiceCondition.visibilityApplied;
  switch (visibility) {
    case 'PUBLIC':
      return { type, status: 'True', reason: 'Public', message: 'every namespace sees it' };
    case 'NAMESPACE':
      return { type, status: 'True', reason: 'Namespace', message: 'only its own namespace sees it' };
    case 'NONE':
      return { type, status: 'True', reason: 'None', message: 'nobody sees it: it has no effect' };
  }
}
