import { GatewayClass, HBONE_PROTOCOL, Label, Port } from '@weft/api';
import type { GatewayFacts } from '../sources/gateway-objects.ts';
import { FieldChecks, type FieldError, type Verdict } from './field-errors.ts';
import { nearest } from './nearest.ts';

const trafficTypes: readonly string[] = ['service', 'workload', 'all', 'none'];

/** What the CRD's schema can't say about a waypoint. Gateways of other classes are others' business. */
export function validateGateway({ labels, name, spec }: GatewayFacts): Verdict {
  const errors: FieldError[] = [];
  if (spec.gatewayClassName !== GatewayClass.waypoint) return { errors, warnings: [] };
  const type = labels[Label.waypointFor];
  if (type !== undefined && !trafficTypes.includes(type)) {
    const meant = nearest(type, trafficTypes);
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
    new FieldChecks('metadata.labels', errors)
      .at(Label.waypointFor)
      .refuse(`"${type}" is none of ${trafficTypes.join(', ')}${hint}`);
  }
  if (name === 'none')
    new FieldChecks('metadata', errors).at('name').refuse('"none" means no waypoint where labels name one');
  // The Gateway API wants such listeners to be taken, and to be told of in status.
  const warnings = (spec.listeners ?? []).flatMap(({ protocol, port }, i) =>
    protocol === HBONE_PROTOCOL && port === Port.hbone
      ? []
      : [`spec.listeners[${i}]: a waypoint listens with protocol ${HBONE_PROTOCOL} on port ${Port.hbone}`],
  );
  return { errors, warnings };
}
