import { meshParentKind } from '../networking/route-attachment.ts';
import { routeProblems } from '../networking/route-problems.ts';
import type { AnyRouteFacts } from '../sources/gateway-objects.ts';
import type { FieldError, Verdict } from './field-errors.ts';

/** What the CRD's schema can't say about a route in the mesh. Routes of gateways are others' business. */
export function validateRoute(route: AnyRouteFacts): Verdict {
  const errors: FieldError[] = [];
  const warnings: string[] = [];
  if (!route.parentRefs.some((parent) => meshParentKind(parent) !== undefined)) return { errors, warnings };
  if (route.hostnames.length > 0) {
    warnings.push(
      'hostnames have no effect for parents in the mesh: requests are matched by the service they were sent to',
    );
  }
  for (const { field, message, effect, isMistake } of routeProblems(route)) {
    if (isMistake) errors.push({ field: `spec.${field}`, message });
    else
      warnings.push(`${field}: ${message}${effect === 'refused' ? '; its requests are answered 500' : ''}`);
  }
  return { errors, warnings };
}
