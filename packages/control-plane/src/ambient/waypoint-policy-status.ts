import { GatewayClass } from '@weft/api';
import type { AuthorizationPolicySpec, TargetReference } from '../sources/policy-objects.ts';
import type { WaypointBinding } from './waypoint-binding.ts';

/** The condition that tells a user what becomes of a policy on layer 7. */
export interface WaypointAccepted {
  readonly status: 'True' | 'False';
  readonly reason: 'Accepted' | 'PartiallyInvalid' | 'UnsupportedValue' | TargetProblem['reason'];
  readonly message: string;
}

export interface WaypointPolicyContext {
  readonly rootNamespace: string;
  /** By `namespace/name`; undefined where there is no such Service. */
  readonly binding: (service: string) => WaypointBinding | undefined;
  /** The same of a ServiceEntry. */
  readonly entryBinding: (serviceEntry: string) => WaypointBinding | undefined;
  readonly gateway: (key: string) => 'waypoint' | 'other' | undefined;
  readonly hasGatewayClass: (name: string) => boolean;
}

interface TargetProblem {
  readonly reason: 'TargetNotFound' | 'AncestorNotBound' | 'Invalid';
  readonly message: string;
}

export interface WaypointPolicy {
  readonly namespace: string;
  readonly targets: readonly TargetReference[];
  readonly isDryRun?: boolean;
  /** What a waypoint doesn't do of the policy, wherever it is attached. */
  readonly unsupported?: string | undefined;
}

/** Undefined for a policy without targets. */
export function waypointAccepted(
  policy: WaypointPolicy,
  context: WaypointPolicyContext,
): WaypointAccepted | undefined {
  const { namespace, targets, unsupported, isDryRun = false } = policy;
  if (targets.length === 0) return undefined;
  const judged = targets.map((target) => ({
    name: describe(namespace, target),
    problem: targetProblem(namespace, target, context),
  }));
  const bound = judged.filter(({ problem }) => problem === undefined).map(({ name }) => name);
  const problems = judged.flatMap(({ problem }) => problem ?? []);
  const [first] = problems;
  const messages = problems.map(({ message }) => message).join('; ');
  if (bound.length === 0 && first !== undefined) {
    const same = problems.every(({ reason }) => reason === first.reason);
    return { status: 'False', reason: same ? first.reason : 'Invalid', message: messages };
  }
  if (unsupported !== undefined) return { status: 'False', reason: 'UnsupportedValue', message: unsupported };
  const message = `bound to ${bound.join(', ')}${isDryRun ? ', in dry run: what it would do is counted, not done' : ''}`;
  return problems.length === 0
    ? { status: 'True', reason: 'Accepted', message }
    : { status: 'True', reason: 'PartiallyInvalid', message: `${message}; ${messages}` };
}

/** What a CUSTOM policy would have asked about is refused where nobody can be asked. */
export function unaskable(
  { action, provider: { name = '' } = {} }: AuthorizationPolicySpec,
  isUsable: (provider: string) => boolean,
): string | undefined {
  return action !== 'CUSTOM' || isUsable(name)
    ? undefined
    : `the mesh configuration has no external authorization provider "${name}" with a Service and port that exist: requests that its rules match are denied`;
}

/** In ambient mode nothing reads tokens but waypoints, and these read what is attached to them. */
export const unattachedAuthentication: WaypointAccepted = {
  status: 'False',
  reason: 'UnsupportedValue',
  message: 'without targetRefs no waypoint reads this, and ztunnel does not see tokens: it has no effect',
};

function targetProblem(
  namespace: string,
  target: TargetReference,
  context: WaypointPolicyContext,
): TargetProblem | undefined {
  const name = describe(namespace, target);
  const key = `${namespace}/${target.name}`;
  const notFound: TargetProblem = { reason: 'TargetNotFound', message: `${name} not found` };
  const invalid = (why: string): TargetProblem => ({ reason: 'Invalid', message: `${name} ${why}` });
  if ((target.namespace ?? namespace) !== namespace) return invalid('is in another namespace');
  switch (target.kind) {
    case 'Service':
    case 'ServiceEntry': {
      const binding = target.kind === 'Service' ? context.binding(key) : context.entryBinding(key);
      if (binding === undefined) return notFound;
      if (binding.kind === 'bound') return undefined;
      const why = binding.kind === 'unasked' ? 'uses no waypoint' : binding.message;
      return { reason: 'AncestorNotBound', message: `${name} is not bound to a waypoint: ${why}` };
    }
    case 'Gateway': {
      const found = context.gateway(key);
      if (found === undefined) return notFound;
      return found === 'waypoint' ? undefined : invalid('is not a waypoint');
    }
    case 'GatewayClass':
      if (namespace !== context.rootNamespace)
        return invalid(`can be targeted from the root namespace ${context.rootNamespace} only`);
      if (!context.hasGatewayClass(target.name)) return notFound;
      return target.name === GatewayClass.waypoint ? undefined : invalid('is not the class of waypoints');
    default:
      return invalid('is of a kind that no waypoint serves');
  }
}

/** As `kubectl` would take it: `Service:shop/web`, `Gateway.gateway.networking.k8s.io:shop/wp`. */
function describe(namespace: string, { group = '', kind, name }: TargetReference): string {
  const type = group === '' || group === 'core' ? kind : `${kind}.${group}`;
  return kind === 'GatewayClass' ? `${type}:${name}` : `${type}:${namespace}/${name}`;
}
