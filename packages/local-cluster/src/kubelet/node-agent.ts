import { readFileSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';
import {
  isConflict,
  isNotFound,
  resources,
  type Condition,
  type KubernetesClient,
  type Lease,
  type Node,
  timestamp,
} from '@weft/kubernetes';
import { describeError, type Clock, type Logger } from '@weft/telemetry';
import type { KubeletConfig } from './config.ts';

const LEASE_NAMESPACE = 'kube-node-lease';
const LEASE_SECONDS = 40;
const LEASE_RENEWAL_MS = 10_000;
/** How often readiness is looked at; the status is written when it changes. */
const READINESS_MS = 1_000;
const RETRY_MS = 250;
const MAX_PODS = '110';
const KUBELET_VERSION = 'v1.35.2';

export interface NodeAgentOptions {
  readonly config: KubeletConfig;
  readonly client: KubernetesClient;
  /** Why the node can't take pods with a network of their own; undefined when it can. */
  readonly networkFault: () => Promise<string | undefined>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** The node as the cluster sees it: registration, Ready, and the Lease that says that the kubelet lives. */
export class NodeAgent {
  private readonly options: NodeAgentOptions;
  private reported: string | undefined;
  private readySince = '';

  constructor(options: NodeAgentOptions) {
    this.options = options;
  }

  /** Registers the node, trying until the API server is there. */
  async register(): Promise<void> {
    const { client, config, clock, logger, signal } = this.options;
    while (!signal.aborted) {
      try {
        const present = await client.get(resources.nodes, config.nodeName).catch(missing);
        if (present === undefined) await client.create(resources.nodes, this.node());
        else
          await client.patch(resources.nodes, config.nodeName, undefined, {
            metadata: { labels: this.labels() },
          });
        return;
      } catch (error) {
        logger.warn('node not registered, trying again', { error: describeError(error) });
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }

  /** Keeps status and Lease up to date until the signal. */
  async run(): Promise<void> {
    const { clock, signal, logger } = this.options;
    let renewedAtMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      try {
        await this.reportStatus();
        if (clock.now() - renewedAtMs >= LEASE_RENEWAL_MS) {
          // After a gap the cluster has taken us for lost, and must be told that we are not.
          if (clock.now() - renewedAtMs > LEASE_SECONDS * 1000) this.reported = undefined;
          await this.renewLease();
          renewedAtMs = clock.now();
        }
      } catch (error) {
        logger.warn('node not reported, trying again', { error: describeError(error) });
        // It may have been deleted, or its status been overruled: then everything is written again.
        this.reported = undefined;
        if (isNotFound(error)) await this.register();
      }
      await clock.sleep(READINESS_MS, signal);
    }
  }

  private async reportStatus(): Promise<void> {
    const { client, config, clock } = this.options;
    const fault = await this.options.networkFault();
    const key = fault ?? '';
    const now = timestamp(clock.now());
    const minute = Math.floor(clock.now() / STATUS_HEARTBEAT_MS);
    if (this.reported === `${minute} ${key}`) return;
    if (this.reported?.split(' ').slice(1).join(' ') !== key || this.readySince === '') this.readySince = now;
    await client.patch(
      resources.nodes,
      config.nodeName,
      undefined,
      { status: this.status(fault, now) },
      'strategic',
      {
        subresource: 'status',
        fieldManager: 'kubelet',
      },
    );
    this.reported = `${minute} ${key}`;
  }

  private async renewLease(): Promise<void> {
    const { client, config, clock } = this.options;
    const { nodeName } = config;
    const renewTime = new Date(clock.now()).toISOString().replace('Z', '000Z');
    const present = await client.get(resources.leases, nodeName, LEASE_NAMESPACE).catch(missing);
    const spec = { holderIdentity: nodeName, leaseDurationSeconds: LEASE_SECONDS, renewTime };
    if (present === undefined) {
      const lease: Lease = { metadata: { name: nodeName, namespace: LEASE_NAMESPACE }, spec };
      await client.create(resources.leases, lease);
      return;
    }
    try {
      await client.replace(resources.leases, { ...present, spec: { ...present.spec, ...spec } });
    } catch (error) {
      if (!isConflict(error)) throw error; // someone else's write is as recent; the next renewal will do
    }
  }

  private node(): Node {
    const { nodeName, podCidr } = this.options.config;
    return {
      metadata: { name: nodeName, labels: this.labels() },
      spec: { podCIDR: podCidr, podCIDRs: [podCidr] },
    };
  }

  private labels(): Readonly<Record<string, string>> {
    const { nodeName, labels = {} } = this.options.config;
    return {
      'kubernetes.io/hostname': nodeName,
      'kubernetes.io/os': 'linux',
      'kubernetes.io/arch': goArch(),
      ...labels,
    };
  }

  private status(fault: string | undefined, now: string): unknown {
    const { nodeIp, nodeName, kubeletPort } = this.options.config;
    const capacity = {
      cpu: String(cpus().length),
      memory: `${Math.floor(totalmem() / 1024)}Ki`,
      pods: MAX_PODS,
    };
    const common = { lastHeartbeatTime: now, lastTransitionTime: this.readySince };
    const healthy = (type: string, reason: string, message: string): unknown => ({
      type,
      status: 'False',
      reason,
      message,
      ...common,
    });
    const ready: Condition & { readonly lastHeartbeatTime: string } =
      fault === undefined
        ? {
            type: 'Ready',
            status: 'True',
            reason: 'KubeletReady',
            message: 'kubelet is posting ready status',
            ...common,
          }
        : {
            type: 'Ready',
            status: 'False',
            reason: 'KubeletNotReady',
            message: `container runtime network not ready: ${fault}`,
            ...common,
          };
    return {
      addresses: [
        { type: 'InternalIP', address: nodeIp },
        { type: 'Hostname', address: nodeName },
      ],
      capacity,
      allocatable: capacity,
      conditions: [
        healthy('MemoryPressure', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
        healthy('DiskPressure', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
        healthy('PIDPressure', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
        ready,
      ],
      daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } },
      nodeInfo: {
        architecture: goArch(),
        bootID: readOr('/proc/sys/kernel/random/boot_id'),
        containerRuntimeVersion: 'weft://0.1.0',
        kernelVersion: release(),
        kubeProxyVersion: '',
        kubeletVersion: KUBELET_VERSION,
        machineID: readOr('/etc/machine-id'),
        operatingSystem: 'linux',
        osImage: /^PRETTY_NAME="?([^"\n]*)/m.exec(readOr('/etc/os-release'))?.[1] ?? 'Linux',
        systemUUID: readOr('/etc/machine-id'),
      },
    };
  }
}

/** The status is written this often although nothing has changed, as a sign of life beside the Lease. */
const STATUS_HEARTBEAT_MS = 300_000;

function goArch(): string {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };
  return names[arch()] ?? arch();
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

function missing(error: unknown): undefined {
  if (isNotFound(error)) return undefined;
  throw error;
}
