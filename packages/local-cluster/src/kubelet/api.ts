import type { ConfigMap, Secret } from '@weft/kubernetes';
import type { Pod, PodStatus } from './pod.ts';

export interface ServiceAccountToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

export interface PodEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  /** The container it is about. */
  readonly container?: string;
}

/** What pods need of the cluster. Tests give one that lives in memory. */
export interface KubeletApi {
  /** Undefined when it doesn't exist. */
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;
  /** A token of the pod's service account that is valid while the pod exists. */
  createToken(
    pod: Pod,
    audience: string | undefined,
    expirationSeconds: number,
  ): Promise<ServiceAccountToken>;
  /** Merges into the status of this very pod, not of a later one of its name. */
  patchStatus(pod: Pod, status: PodStatus): Promise<void>;
  /** Ends a pod's life in the API, after its containers have ended. */
  removePod(pod: Pod): Promise<void>;
  /** Never fails: an event that can't be written is dropped. */
  recordEvent(pod: Pod, event: PodEvent): void;
}
