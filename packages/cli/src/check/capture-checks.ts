import { Annotation, PodCondition, Redirection } from '@weft/api';
import type { Pod } from '@weft/kubernetes';
import type { CheckResult } from './checks.ts';

/**
 * The promise of the mesh: whoever is labelled is redirected. The annotation says that it was done once; the
 * condition, which the node agent's audit writes, that it still holds.
 */
export function checkCapture(wanted: readonly Pod[]): CheckResult {
  const faults = wanted.flatMap((pod) => {
    const fault = captureFault(pod);
    return fault === undefined ? [] : [`${pod.metadata.namespace}/${pod.metadata.name} (${fault})`];
  });
  const name = `${wanted.length - faults.length} of ${wanted.length} labelled pods are in the mesh`;
  if (faults.length === 0) return { name, status: 'ok' };
  return {
    name,
    status: 'failed',
    message: `not captured: ${faults.join(', ')}`,
    next: 'The agent of the node repairs what it can; see the log of its istio-cni-node pod.',
  };
}

function captureFault(pod: Pod): string | undefined {
  const condition = pod.status?.conditions?.find(({ type }) => type === PodCondition.captured);
  if (condition?.status === 'False')
    return [condition.reason, condition.message]
      .filter((part) => part !== undefined && part !== '')
      .join(': ');
  const redirection = pod.metadata.annotations?.[Annotation.redirection];
  if (redirection === Redirection.enabled) return undefined;
  return redirection === Redirection.pending ? 'no ztunnel has taken it yet' : 'not enrolled';
}
