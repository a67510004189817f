import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import {
  Reflector,
  resources,
  type Change,
  type KubernetesClient,
  type KubernetesObject,
  type Service,
} from '@weft/kubernetes';
import { describeError, type Clock, type Logger } from '@weft/telemetry';
import { installBasePlugin } from '../cni/install.ts';
import { PodNetwork } from '../cni/network.ts';
import { ClusterApi } from './cluster-api.ts';
import type { KubeletConfig } from './config.ts';
import { ImageTable } from './images.ts';
import { NodeAgent } from './node-agent.ts';
import { PodWorker, type PodWorkerOptions } from './pod-worker.ts';
import type { Pod } from './pod.ts';
import { DEFAULT_RESTART_BACKOFF } from './restart-backoff.ts';
import { PodCgroups } from './sandbox/cgroup.ts';
import { removeNetworkNamespaceFile } from './sandbox/network-namespace-file.ts';
import { readPrivileges } from './security.ts';
import { KubeletServer } from './server/kubelet-server.ts';

/** Where a node keeps its things; all of it is the node's own. */
const paths = {
  cniConf: '/etc/cni/net.d',
  cniBin: '/opt/cni/bin',
  state: '/var/lib/kubelet',
  pods: '/var/lib/kubelet/pods',
  logs: '/var/log/pods',
  netns: '/var/run/netns',
} as const;

export interface KubeletOptions {
  readonly config: KubeletConfig;
  readonly client: KubernetesClient;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The kubelet of one node. It runs inside the node's namespaces, so that what it mounts, routes and probes is the
 * node's.
 *
 *     pods of this node ─▶ PodWorker each ─▶ volumes, sandbox (CNI), containers
 *     services          ─▶ variables of containers
 *     NodeAgent         ─▶ Node, Lease          KubeletServer ◀─ logs, exec, attach, port-forward
 */
export class Kubelet {
  private readonly options: KubeletOptions;
  private readonly workers = new Map<string, PodWorker>();
  private readonly network: PodNetwork;
  private readonly server: KubeletServer;
  private readonly stop = new AbortController();
  private services: Reflector<Service> | undefined;

  constructor(options: KubeletOptions) {
    this.options = options;
    this.network = new PodNetwork({
      confDir: paths.cniConf,
      binDirs: [paths.cniBin, '/usr/lib/cni'],
      cacheDir: join(paths.state, 'cni-results'),
    });
    this.server = new KubeletServer({
      token: options.config.kubeletToken,
      logger: options.logger,
      findPod: (namespace, name) =>
        [...this.workers.values()].find(
          ({ current: { metadata } }) => metadata.namespace === namespace && metadata.name === name,
        ),
    });
  }

  /** Runs until the signal. Containers end then; their networks and volumes stay for the next kubelet. */
  async run(signal: AbortSignal): Promise<void> {
    const { config, client, clock, logger } = this.options;
    signal.addEventListener('abort', () => this.stop.abort(), { once: true });
    for (const directory of [paths.pods, paths.logs, paths.netns])
      await mkdir(directory, { recursive: true });
    await installBasePlugin({
      confDir: paths.cniConf,
      binDir: paths.cniBin,
      dataDir: join(paths.state, 'addresses'),
      podCidr: config.podCidr,
    });
    await this.server.listen(config.nodeIp, config.kubeletPort);
    const agent = new NodeAgent({
      config,
      client,
      clock,
      logger,
      signal: this.stop.signal,
      networkFault: () => this.networkFault(),
    });
    await agent.register();
    const reporting = agent.run();
    await this.followServices();
    const pods = this.followPods();
    logger.info('kubelet is running', { node: config.nodeName });
    await Promise.all([reporting, this.services?.done, pods.done]);
    await Promise.all([...this.workers.values()].map((worker) => worker.close()));
    await this.server.close();
    client.close();
  }

  /** Resolves when they are complete: a container's variables depend on them. */
  private followServices(): Promise<void> {
    const { client, logger } = this.options;
    return new Promise((resolve) => {
      this.stop.signal.addEventListener('abort', () => resolve(), { once: true });
      this.services = new Reflector<Service>({
        client,
        type: resources.services,
        logger,
        signal: this.stop.signal,
        onChange: () => undefined,
        onSynced: resolve,
      });
    });
  }

  private followPods(): Reflector<KubernetesObject> {
    const { client, config, logger } = this.options;
    const workerOptions = this.workerOptions();
    return new Reflector<KubernetesObject>({
      client,
      type: resources.pods,
      logger,
      signal: this.stop.signal,
      fieldSelector: `spec.nodeName=${config.nodeName}`,
      onChange: (changes) => {
        for (const change of changes) this.apply(change, workerOptions);
      },
      onSynced: () => {
        this.clearOrphans().catch((error: unknown) =>
          logger.warn('what pods left behind is not cleared', { error: describeError(error) }),
        );
      },
    });
  }

  private apply(change: Change<KubernetesObject>, options: Omit<PodWorkerOptions, 'onRemoved'>): void {
    const pod = change.object as Pod; // the API server has validated and completed it
    const { uid } = pod.metadata;
    const worker = this.workers.get(uid);
    if (change.kind === 'delete') return worker?.forget();
    if (worker !== undefined) return worker.update(pod);
    this.workers.set(uid, new PodWorker(pod, { ...options, onRemoved: () => void this.workers.delete(uid) }));
  }

  private workerOptions(): Omit<PodWorkerOptions, 'onRemoved'> {
    const { config, client, clock, logger } = this.options;
    const api = new ClusterApi(client, config.nodeName, clock, logger);
    return {
      api,
      clock,
      logger,
      setup: {
        api,
        images: new ImageTable(config.imagesFile),
        privileges: readPrivileges(),
        services: () => this.services?.list() ?? [],
      },
      sandbox: {
        network: this.network,
        netnsDir: paths.netns,
        cgroups: config.rootless ? PodCgroups.none() : PodCgroups.find(),
        dns: { serviceIp: config.clusterDns, domain: config.clusterDomain },
        hostIp: config.nodeIp,
      },
      downward: {
        nodeName: config.nodeName,
        hostIp: config.nodeIp,
        allocatable: { cpu: cpus().length, memoryBytes: totalmem() },
      },
      restartBackoff: config.restartBackoff ?? DEFAULT_RESTART_BACKOFF,
      podsDir: paths.pods,
      logsDir: paths.logs,
    };
  }

  private async networkFault(): Promise<string | undefined> {
    try {
      return (await this.network.config()) === undefined
        ? `no CNI configuration in ${paths.cniConf}`
        : undefined;
    } catch (error) {
      return describeError(error);
    }
  }

  /** What pods left that were deleted while no kubelet ran. */
  private async clearOrphans(): Promise<void> {
    for (const attachment of await this.network.attachments()) {
      if (this.workers.has(attachment.pod.uid)) continue;
      await this.network.detach(attachment);
      await removeNetworkNamespaceFile(attachment.netns);
    }
    for (const uid of await readdir(paths.pods)) {
      if (this.workers.has(uid)) continue;
      const directory = join(paths.pods, uid);
      // Below a mount there may be what isn't ours to delete.
      if ((await readFile('/proc/self/mountinfo', 'utf8')).includes(` ${directory}/`)) continue;
      await rm(directory, { recursive: true, force: true });
    }
  }
}
