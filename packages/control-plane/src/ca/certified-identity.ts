import { type SpiffeId, formatSpiffeId, parseSpiffeId, toSpiffeId } from '@weft/spiffe';
import { WeftError } from '@weft/telemetry';
import type { PodFacts } from '../sources/facts.ts';
import { type Caller, describeCaller } from './token-authenticator.ts';

/** What the decision looks at; the pods are those of this cluster. */
export interface IdentityContext {
  readonly trustDomain: string;
  /** `namespace/serviceAccount` of node proxies, which may ask for the identities of the pods beside them. */
  readonly trustedNodeAccounts: ReadonlySet<string>;
  pod(namespace: string, name: string): PodFacts | undefined;
  podsOnNode(nodeName: string, namespace: string, serviceAccount: string): readonly PodFacts[];
}

/**
 * The identity that a caller's certificate will carry: its own, or that of a workload on its node. Never that of the
 * request's CSR.
 * @throws WEFT1804
 */
export function certifiedIdentity(
  caller: Caller,
  requested: string | undefined,
  context: IdentityContext,
): SpiffeId {
  const { trustDomain } = context;
  if (requested === undefined || requested === '') return formatSpiffeId({ trustDomain, ...caller });
  const refuse = (why: string): never => {
    throw new WeftError('WEFT1804', `${describeCaller(caller)} may not have ${requested}: ${why}`);
  };

  if (!context.trustedNodeAccounts.has(`${caller.namespace}/${caller.serviceAccount}`)) {
    return refuse('its service account is not a trusted node account');
  }
  if (caller.pod === undefined) return refuse('its token is not bound to a pod');
  const pod = context.pod(caller.namespace, caller.pod.name);
  if (pod === undefined || pod.uid !== caller.pod.uid || pod.serviceAccount !== caller.serviceAccount) {
    return refuse('the pod of its token does not exist');
  }
  if (!isAlive(pod) || pod.nodeName === '') return refuse('the pod of its token does not run');

  const identity = parseSpiffeId(requested);
  if (identity === undefined) return refuse('this is not a workload identity');
  if (identity.trustDomain !== trustDomain) return refuse(`the trust domain is ${trustDomain}`);
  const neighbours = context.podsOnNode(pod.nodeName, identity.namespace, identity.serviceAccount);
  if (!neighbours.some(isAlive)) return refuse(`no pod of that identity runs on node ${pod.nodeName}`);
  return toSpiffeId(requested);
}

function isAlive({ phase }: PodFacts): boolean {
  return phase !== 'Failed' && phase !== 'Succeeded';
}
