import type { Decided } from './outbound.ts';
import type { Workload } from '../state/workload.ts';
import { isLocal, type LocalPod } from '../state/workload-store.ts';

export interface SameNodeContext {
  /** Empty: every workload counts as local. */
  readonly nodeName: string;
  /** The UID of a pod that the node agent has handed to this proxy. */
  readonly podUidOf: (pod: LocalPod) => string | undefined;
}

/**
 * The pod of this proxy that a planned tunnel would end in: its bytes may stay in the process. A hint, which the data
 * thread acts upon only if the pod really has the address and both certificates hold.
 */
export function sameNodePod(plan: Decided, { nodeName, podUidOf }: SameNodeContext): string | undefined {
  if (plan.kind !== 'tunnel' || plan.endsAt !== 'pod' || plan.workload === undefined) return undefined;
  const { workload } = plan;
  return isLocal(workload, nodeName) && isServedByProxy(workload) ? podUidOf(workload) : undefined;
}

/** Neither ends HBONE itself nor is a proxy that HBONE is ended for. */
function isServedByProxy({ nativeTunnel, applicationTunnel, networkMode }: Workload): boolean {
  return !nativeTunnel && applicationTunnel === undefined && networkMode === 'Standard';
}
