import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { systemErrorCode } from '@weft/telemetry';
import type { Attachment, PodNetwork } from '../cni/network.ts';
import { hostsFile, podHostname, resolvConf, type ClusterDns } from './name-resolution.ts';
import type { Pod } from './pod.ts';
import type { PodCgroups } from './sandbox/cgroup.ts';
import { isMountPoint } from './sandbox/mount-points.ts';
import { createNetworkNamespaceFile, removeNetworkNamespaceFile } from './sandbox/network-namespace-file.ts';

export interface SandboxOptions {
  readonly network: PodNetwork;
  readonly netnsDir: string;
  readonly cgroups: PodCgroups;
  readonly dns: ClusterDns;
  readonly hostIp: string;
}

/** What all containers of a pod share. */
interface SandboxState {
  readonly containerId: string;
  /** Undefined on the node's own network. */
  readonly netns: string | undefined;
  readonly ips: readonly string[];
}

/** The network of one pod and the files that follow from it. Its state is on disk, so a restarted kubelet takes it over. */
export class PodSandbox {
  private readonly options: SandboxOptions;
  private readonly directory: string;
  private state: SandboxState | undefined;

  constructor(podDirectory: string, options: SandboxOptions) {
    this.directory = podDirectory;
    this.options = options;
  }

  get ready(): boolean {
    return this.state !== undefined;
  }

  get netns(): string | undefined {
    return this.state?.netns;
  }

  get podIps(): readonly string[] {
    return this.state?.ips ?? [];
  }

  /** Files that every container of the pod sees, by their path in it. */
  get files(): readonly { readonly source: string; readonly target: string }[] {
    return ['hosts', 'resolv.conf', 'hostname'].map((name) => ({
      source: join(this.directory, `etc-${name}`),
      target: `/etc/${name}`,
    }));
  }

  /** Takes over what an earlier kubelet left, or makes a new network. Throws WEFT2063, WEFT2066, WEFT2067. */
  async ensure(pod: Pod): Promise<void> {
    if (this.state !== undefined) return;
    await mkdir(this.directory, { recursive: true });
    this.state = (await this.adopt(pod)) ?? (await this.create(pod));
    await this.writeFiles(pod, this.state.ips);
  }

  /** Harmless when repeated. Throws WEFT2067 when a CNI plugin refuses; then it is to be tried again. */
  async remove(pod: Pod): Promise<void> {
    const state = this.state ?? (await this.readState());
    if (state?.netns !== undefined) {
      const present = await isMountPoint(state.netns);
      await this.options.network.detach(attachment(pod, state.containerId, present ? state.netns : ''));
      await removeNetworkNamespaceFile(state.netns);
    }
    this.options.cgroups.remove(pod.metadata.uid);
    this.state = undefined;
    await rm(this.stateFile, { force: true });
  }

  private get stateFile(): string {
    return join(this.directory, 'sandbox.json');
  }

  private async adopt(pod: Pod): Promise<SandboxState | undefined> {
    const known = await this.readState();
    if (known === undefined) return undefined;
    if (known.netns === undefined) return known;
    try {
      if (await isMountPoint(known.netns)) {
        await this.options.network.check(known.containerId);
        return known;
      }
    } catch {
      // What the plugin no longer recognises is made anew.
    }
    await this.remove(pod);
    return undefined;
  }

  private async create(pod: Pod): Promise<SandboxState> {
    const containerId = randomBytes(32).toString('hex');
    if (pod.spec.hostNetwork === true) {
      const state = { containerId, netns: undefined, ips: [this.options.hostIp] };
      await this.writeState(state);
      return state;
    }
    const netns = await createNetworkNamespaceFile(this.options.netnsDir);
    try {
      const { ips } = await this.options.network.attach(attachment(pod, containerId, netns));
      const state = { containerId, netns, ips };
      await this.writeState(state);
      return state;
    } catch (error) {
      await removeNetworkNamespaceFile(netns);
      throw error;
    }
  }

  private async writeFiles(pod: Pod, ips: readonly string[]): Promise<void> {
    const { dns } = this.options;
    const onHost = pod.spec.hostNetwork === true;
    const hosts = onHost ? await readOr('/etc/hosts', '127.0.0.1\tlocalhost\n') : hostsFile(pod, ips, dns);
    await writeFile(join(this.directory, 'etc-hosts'), hosts);
    const nodeFile = await readOr('/etc/resolv.conf', '');
    await writeFile(join(this.directory, 'etc-resolv.conf'), resolvConf(pod, dns, nodeFile));
    const hostname = onHost ? await readOr('/proc/sys/kernel/hostname', '') : `${podHostname(pod)}\n`;
    await writeFile(join(this.directory, 'etc-hostname'), hostname);
  }

  private async writeState(state: SandboxState): Promise<void> {
    await writeFile(`${this.stateFile}.tmp`, JSON.stringify(state));
    await rename(`${this.stateFile}.tmp`, this.stateFile);
  }

  private async readState(): Promise<SandboxState | undefined> {
    const text = await readOr(this.stateFile, '');
    return text === '' ? undefined : (JSON.parse(text) as SandboxState); // our own file, replaced atomically
  }
}

function attachment({ metadata, spec }: Pod, containerId: string, netns: string): Attachment {
  const portMappings = spec.containers
    .flatMap(({ ports = [] }) => ports)
    .filter(({ hostPort = 0 }) => hostPort > 0)
    .map(({ hostPort, containerPort, protocol = 'TCP', hostIP = '' }) => ({
      hostPort,
      containerPort,
      protocol: protocol.toLowerCase(),
      hostIP,
    }));
  const { namespace, name, uid } = metadata;
  return { containerId, netns, pod: { namespace, name, uid }, runtimeConfig: { portMappings } };
}

async function readOr(path: string, otherwise: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return otherwise;
    throw error;
  }
}
