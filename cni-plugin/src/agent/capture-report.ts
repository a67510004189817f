import { PodCondition } from '@weft/api';
import {
  isConflict,
  isNotFound,
  resources,
  type KubernetesClient,
  type Pod,
  timestamp,
} from '@weft/kubernetes';
import type { CaptureVerdict } from './capture-verdict.ts';

const COMPONENT = 'istio-cni-node';

/** Writes a verdict to the pod: the condition always, an event when it is bad or has become good again. */
export async function reportCapture(
  client: KubernetesClient,
  nodeName: string,
  pod: Pod,
  verdict: CaptureVerdict,
): Promise<void> {
  const { name = '', namespace = '', uid } = pod.metadata;
  const before = pod.status?.conditions?.find(({ type }) => type === PodCondition.captured);
  const isCaptured = verdict.kind === 'captured';
  const reason = isCaptured ? 'Captured' : verdict.fault;
  const message = isCaptured ? '' : verdict.message;
  const status = isCaptured ? 'True' : 'False';
  if (before?.status === status && before.reason === reason && (before.message ?? '') === message) return;
  const now = timestamp(new Date());
  const condition = {
    type: PodCondition.captured,
    status,
    reason,
    message,
    lastTransitionTime: before?.status === status ? before.lastTransitionTime : now,
  };
  try {
    // Strategic: the list is merged by type, and the kubelet's conditions stay.
    const body = { metadata: { uid }, status: { conditions: [condition] } };
    await client.patch(resources.pods, name, namespace, body, 'strategic', { subresource: 'status' });
  } catch (error) {
    if (isNotFound(error) || isConflict(error)) return;
    throw error;
  }
  if (isCaptured && before?.status !== 'False') return;
  await client.create(resources.events, {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { generateName: `${name}.`, namespace },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', name, namespace, ...(uid === undefined ? {} : { uid }) },
    type: isCaptured ? 'Normal' : 'Warning',
    reason: isCaptured ? 'Captured' : 'NotCaptured',
    message: isCaptured ? 'the traffic of the pod is redirected to ztunnel again' : `${reason}: ${message}`,
    count: 1,
    firstTimestamp: now,
    lastTimestamp: now,
    reportingComponent: COMPONENT,
    reportingInstance: nodeName,
    source: { component: COMPONENT, host: nodeName },
  });
}
