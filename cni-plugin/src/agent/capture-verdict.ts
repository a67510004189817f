import { Port } from '@weft/api';
import type { IdentityResult, RedirectResult } from './capture-probes.ts';

/** What was seen of a pod that should be captured. Parts that were not looked at this time are undefined. */
export interface CaptureObservation {
  readonly enrolment:
    | { readonly kind: 'added' }
    | { readonly kind: 'pending'; readonly failure: string | undefined };
  /** Whether the namespace that we hold is still the pod's. */
  readonly namespaceIsCurrent?: boolean;
  readonly listening?: ReadonlySet<number>;
  readonly dnsCapture: boolean;
  readonly redirect?: RedirectResult;
  /** What of the rules and routes is otherwise than it should be, in words. */
  readonly ruleDifferences?: readonly string[];
  readonly identity?: IdentityResult;
  readonly serviceAccount: string;
  readonly namespace: string;
}

/** Reasons of the condition `weft.dev/Captured`. */
export type CaptureFault =
  | 'NotEnrolled'
  | 'NamespaceReplaced'
  | 'NotListening'
  | 'NotRedirected'
  | 'RulesDiffer'
  | 'NoIdentity'
  | 'WrongIdentity';

export type CaptureVerdict =
  | { readonly kind: 'captured' }
  | {
      readonly kind: 'uncaptured';
      readonly fault: CaptureFault;
      readonly message: string;
      readonly repair: 'rules' | 'ztunnel' | 'namespace' | 'wait';
    };

/** An event's message has room for 1,024 bytes. */
const MAX_DIFFERENCES_CHARS = 500;

const ztunnelPorts: readonly number[] = [Port.outboundCapture, Port.inboundCapture, Port.hbone];

/** The first thing that is wrong, in the order in which one explains the next. */
export function judgeCapture(o: CaptureObservation, nowMs: number): CaptureVerdict {
  const uncaptured = (
    fault: CaptureFault,
    message: string,
    repair: 'rules' | 'ztunnel' | 'namespace' | 'wait',
  ): CaptureVerdict => ({ kind: 'uncaptured', fault, message, repair });

  if (o.enrolment.kind === 'pending')
    return uncaptured('NotEnrolled', o.enrolment.failure ?? 'enrolment is under way', 'wait');
  if (o.namespaceIsCurrent === false)
    return uncaptured(
      'NamespaceReplaced',
      'the pod has another network namespace than enrolled',
      'namespace',
    );
  const needed = o.dnsCapture ? [...ztunnelPorts, Port.dns] : ztunnelPorts;
  const silent = needed.filter((port) => o.listening?.has(port) === false);
  if (silent.length > 0)
    return uncaptured(
      'NotListening',
      `ztunnel does not listen on ${silent.join(', ')} in the pod`,
      'ztunnel',
    );
  if (o.ruleDifferences !== undefined && o.ruleDifferences.length > 0)
    return uncaptured('RulesDiffer', describeDifferences(o.ruleDifferences), 'rules');
  if (o.redirect === 'not-redirected')
    return uncaptured('NotRedirected', 'a connection from inside the pod does not reach ztunnel', 'rules');
  if (o.identity?.kind === 'none')
    return uncaptured('NoIdentity', `ztunnel shows no certificate for the pod: ${o.identity.reason}`, 'wait');
  if (o.identity?.kind === 'issued') {
    const { spiffeId, validUntilMs } = o.identity;
    if (!spiffeId.endsWith(`/ns/${o.namespace}/sa/${o.serviceAccount}`))
      return uncaptured('WrongIdentity', `ztunnel answers in the pod as ${spiffeId}`, 'ztunnel');
    if (validUntilMs <= nowMs)
      return uncaptured('NoIdentity', `the certificate of ${spiffeId} has expired`, 'wait');
  }
  return { kind: 'captured' };
}

function describeDifferences(differences: readonly string[]): string {
  const text = differences.join('; ');
  const told = text.length > MAX_DIFFERENCES_CHARS ? `${text.slice(0, MAX_DIFFERENCES_CHARS)}…` : text;
  return `the netfilter rules or routes in the pod are not as they should be: ${told}`;
}
