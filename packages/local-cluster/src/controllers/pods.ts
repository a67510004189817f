import type { KubernetesObject, Pod, PodTemplate, ResourceType } from '@weft/kubernetes';
import { controllerReference } from './objects.ts';

export function isTerminating(object: KubernetesObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

/** Succeeded or Failed: no container of it will run again. */
export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** Counts for its controller. */
export function isActive(pod: Pod): boolean {
  return !isFinished(pod) && !isTerminating(pod);
}

export function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
}

/** Milliseconds until the pod counts as available: 0 when it does, undefined while it isn't ready. */
export function availableInMs(pod: Pod, minReadySeconds: number, now: Date): number | undefined {
  const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready?.status !== 'True') return undefined;
  if (minReadySeconds === 0) return 0;
  return Math.max(0, Date.parse(ready.lastTransitionTime ?? '') + minReadySeconds * 1000 - now.getTime());
}

export interface PodCounts {
  readonly ready: number;
  readonly available: number;
  /** When the next ready pod becomes available. */
  readonly nextAvailableMs: number | undefined;
}

export function countPods(pods: readonly Pod[], minReadySeconds: number, now: Date): PodCounts {
  let ready = 0;
  let available = 0;
  let nextAvailableMs: number | undefined;
  for (const pod of pods) {
    const inMs = availableInMs(pod, minReadySeconds, now);
    if (inMs === undefined) continue;
    ready++;
    if (inMs === 0) available++;
    else nextAvailableMs = Math.min(nextAvailableMs ?? Number.POSITIVE_INFINITY, inMs);
  }
  return { ready, available, nextAvailableMs };
}

/** A pod of the template, owned by its controller. The API server completes `generateName`. */
export function podFromTemplate(
  type: ResourceType,
  owner: KubernetesObject,
  template: PodTemplate,
  o: {
    readonly name?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly spec?: Readonly<Record<string, unknown>>;
  } = {},
): Pod {
  const { metadata = {}, spec } = template;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...(o.name === undefined ? { generateName: `${owner.metadata.name ?? ''}-` } : { name: o.name }),
      ...(owner.metadata.namespace === undefined ? {} : { namespace: owner.metadata.namespace }),
      labels: { ...metadata.labels, ...o.labels },
      ...(metadata.annotations === undefined ? {} : { annotations: metadata.annotations }),
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ownerReferences: [controllerReference(type, owner)],
    },
    spec: { ...spec, ...o.spec },
  };
}
