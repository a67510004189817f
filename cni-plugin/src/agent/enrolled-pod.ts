import { Annotation, Redirection } from '@weft/api';
import type { Pod } from '@weft/kubernetes';
import type { PodRuleOptions } from '../rules/pod-rules.ts';
import { isFinished } from './enrolment.ts';
import type { ZdsPod } from './zds-server.ts';

/** A pod whose namespace we hold. */
export interface EnrolledPod extends ZdsPod {
  addresses: readonly string[];
  /** `added`: ztunnel listens in it and the rules are in force. `pending`: not yet, or not any more. */
  state: 'pending' | 'added';
  /**
   * Where its rules stand: `absent` in a new namespace, `former` where an earlier agent may have left some,
   * `kept` where these are not to be touched.
   */
  readonly rules: 'absent' | 'former' | 'kept';
  /** By the agent's clock. */
  readonly heldSinceMs: number;
}

/** What the audit looks at. */
export interface ExpectedPod {
  readonly uid: string;
  readonly pod: Pod;
  readonly enrolled: EnrolledPod | undefined;
  readonly rules: PodRuleOptions;
  /** Why the last step failed, if it did. */
  readonly failure: string | undefined;
}

export function podTitle({ metadata }: Pod): string {
  return `${metadata.namespace}/${metadata.name}`;
}

export function addressesOf(pod: Pod): readonly string[] {
  const { podIPs = [], podIP } = pod.status ?? {};
  const addresses = podIPs.map(({ ip }) => ip).filter((ip) => ip !== '');
  return addresses.length > 0 || podIP === undefined || podIP === '' ? addresses : [podIP];
}

export function isAnnotated(pod: Pod): boolean {
  return pod.metadata.annotations?.[Annotation.redirection] === Redirection.enabled;
}

/** Our own removal of the annotation may not have come back through the watch yet. */
export function withoutRedirection(pod: Pod): Pod {
  const { [Annotation.redirection]: _removed, ...annotations } = pod.metadata.annotations ?? {};
  return { ...pod, metadata: { ...pod.metadata, annotations } };
}

export function isRunning(pod: Pod): boolean {
  return addressesOf(pod).length > 0 && !isFinished(pod) && pod.metadata.deletionTimestamp === undefined;
}

export function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((x) => b.includes(x));
}
