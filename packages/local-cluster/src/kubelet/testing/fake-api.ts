import type { ConfigMap, Secret } from '@weft/kubernetes';
import type { KubeletApi, PodEvent, ServiceAccountToken } from '../api.ts';
import type { Pod, PodStatus } from '../pod.ts';

/** KubeletApi in memory. */
export class FakeApi implements KubeletApi {
  readonly configMaps = new Map<string, ConfigMap>();
  readonly statuses = new Map<string, PodStatus>();
  readonly phases: string[] = [];
  readonly events: string[] = [];
  readonly removed: string[] = [];
  tokens = 0;
  private listeners: (() => void)[] = [];

  configMap(_namespace: string, name: string): Promise<ConfigMap | undefined> {
    return Promise.resolve(this.configMaps.get(name));
  }

  secret(): Promise<Secret | undefined> {
    return Promise.resolve(undefined);
  }

  createToken(
    pod: Pod,
    audience: string | undefined,
    expirationSeconds: number,
  ): Promise<ServiceAccountToken> {
    this.tokens++;
    const token = `token ${this.tokens} of ${pod.metadata.name} for ${audience ?? 'the cluster'}`;
    return Promise.resolve({ token, expiresAtMs: Date.now() + expirationSeconds * 1000 });
  }

  patchStatus(pod: Pod, status: PodStatus): Promise<void> {
    const { name } = pod.metadata;
    if (this.statuses.get(name)?.phase !== status.phase) this.phases.push(`${name} ${status.phase}`);
    this.statuses.set(name, status);
    for (const listener of this.listeners.splice(0)) listener();
    return Promise.resolve();
  }

  removePod(pod: Pod): Promise<void> {
    this.removed.push(pod.metadata.name);
    return Promise.resolve();
  }

  recordEvent(pod: Pod, event: PodEvent): void {
    this.events.push(`${pod.metadata.name} ${event.type} ${event.reason}: ${event.message}`);
  }

  /** Resolves once the pod's status is as wanted. */
  async until(name: string, wanted: (status: PodStatus) => boolean): Promise<PodStatus> {
    for (;;) {
      const status = this.statuses.get(name);
      if (status !== undefined && wanted(status)) return status;
      await new Promise<void>((resolve) => this.listeners.push(resolve));
    }
  }
}

export function isReady(status: PodStatus): boolean {
  return status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true;
}
