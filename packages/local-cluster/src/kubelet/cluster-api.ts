import {
  isConflict,
  isNotFound,
  resources,
  type ConfigMap,
  type Event,
  type KubernetesClient,
  type Secret,
  timestamp,
} from '@weft/kubernetes';
import { describeError, type Clock, type Logger } from '@weft/telemetry';
import type { KubeletApi, PodEvent, ServiceAccountToken } from './api.ts';
import type { Pod, PodStatus } from './pod.ts';

export const COMPONENT = 'kubelet';
/** Events that wait to be written; beyond that new ones are dropped. */
const MAX_PENDING_EVENTS = 200;
/** Different events whose repetitions are counted in one object. */
const MAX_KNOWN_EVENTS = 1000;

interface KnownEvent {
  readonly name: string;
  count: number;
}

/** KubeletApi by requests to the API server. */
export class ClusterApi implements KubeletApi {
  private readonly client: KubernetesClient;
  private readonly nodeName: string;
  private readonly clock: Clock;
  private readonly logger: Logger;
  private readonly known = new Map<string, KnownEvent>();
  private pendingEvents = 0;
  private events: Promise<void> = Promise.resolve();
  private sequence = 0;

  constructor(client: KubernetesClient, nodeName: string, clock: Clock, logger: Logger) {
    this.client = client;
    this.nodeName = nodeName;
    this.clock = clock;
    this.logger = logger;
  }

  configMap(namespace: string, name: string): Promise<ConfigMap | undefined> {
    return orMissing(this.client.get(resources.configMaps, name, namespace));
  }

  secret(namespace: string, name: string): Promise<Secret | undefined> {
    return orMissing(this.client.get(resources.secrets, name, namespace));
  }

  async createToken(
    pod: Pod,
    audience: string | undefined,
    expirationSeconds: number,
  ): Promise<ServiceAccountToken> {
    const { namespace, name, uid } = pod.metadata;
    const audiences = audience === undefined || audience === '' ? [] : [audience];
    const { token, expirationTimestamp } = await this.client.createToken(
      pod.spec.serviceAccountName ?? 'default',
      namespace,
      {
        audiences,
        expirationSeconds,
        boundPod: { name, uid },
      },
    );
    return { token, expiresAtMs: Date.parse(expirationTimestamp) };
  }

  async patchStatus(pod: Pod, status: PodStatus): Promise<void> {
    const { namespace, name, uid } = pod.metadata;
    // Strategic: conditions merge by type, so those of other controllers stay. Addresses merge too, by ip, though they
    // are all ours, hence the replacement.
    const { podIPs, hostIPs, ...rest } = status;
    const replaced = (list: PodStatus['podIPs']): unknown =>
      list === undefined ? undefined : [...list, { $patch: 'replace' }];
    const body = {
      metadata: { uid },
      status: { ...rest, podIPs: replaced(podIPs), hostIPs: replaced(hostIPs) },
    };
    await this.client.patch(resources.pods, name, namespace, body, 'strategic', {
      subresource: 'status',
      fieldManager: COMPONENT,
    });
  }

  async removePod(pod: Pod): Promise<void> {
    const { namespace, name, uid } = pod.metadata;
    try {
      await this.client.delete(resources.pods, name, namespace, {
        gracePeriodSeconds: 0,
        preconditions: { uid },
      });
    } catch (error) {
      // Gone, or another pod of this name has come: ours is no more.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  recordEvent(pod: Pod, event: PodEvent): void {
    if (this.pendingEvents >= MAX_PENDING_EVENTS) return;
    this.pendingEvents++;
    // One after the other, so that the second of two equal ones finds the first.
    this.events = this.events
      .then(() => this.writeEvent(pod, event))
      .catch((error: unknown) =>
        this.logger.debug('event not written', { reason: event.reason, error: describeError(error) }),
      )
      .finally(() => {
        this.pendingEvents--;
      });
  }

  private async writeEvent(pod: Pod, { type, reason, message, container }: PodEvent): Promise<void> {
    const { namespace, name, uid } = pod.metadata;
    const now = timestamp(this.clock.now());
    const key = JSON.stringify([uid, type, reason, message, container]);
    const known = this.known.get(key);
    if (known !== undefined) {
      known.count++;
      const repeated = { count: known.count, lastTimestamp: now };
      const written = await orMissing(
        this.client.patch(resources.events, known.name, namespace, repeated, 'merge'),
      );
      if (written !== undefined) return;
    }
    const created: Event = {
      metadata: {
        name: `${name}.${(this.clock.now() * 4096 + (this.sequence++ % 4096)).toString(16)}`,
        namespace,
      },
      involvedObject: {
        apiVersion: 'v1',
        kind: 'Pod',
        name,
        namespace,
        uid,
        ...(container === undefined ? {} : { fieldPath: `spec.containers{${container}}` }),
      },
      type,
      reason,
      message,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: COMPONENT, host: this.nodeName },
      reportingComponent: COMPONENT,
      reportingInstance: this.nodeName,
    };
    await this.client.create(resources.events, created);
    if (this.known.size >= MAX_KNOWN_EVENTS) this.known.clear();
    this.known.set(key, { name: created.metadata.name ?? '', count: 1 });
  }
}

async function orMissing<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
