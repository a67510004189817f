import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureKubernetesClients, meshImages, capture } from '@weft/cli';
import { startCluster, type RunningCluster } from '@weft/local-cluster';
import { eventually } from './eventually.ts';

export const workspace = fileURLToPath(new URL('../../..', import.meta.url));
const weftProgram = path.join(workspace, 'packages/cli/bin/weft.js');

/** A pod as `kubectl get -o json` prints it, as far as the scenarios look. */
export interface PodView {
  readonly metadata: {
    readonly name: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { type: string; status: string }[];
    readonly containerStatuses?: readonly { readonly containerID?: string }[];
  };
}

/** A local cluster of its own, driven by real kubectl and helm as a user drives it. */
export class LocalMesh {
  readonly cluster: RunningCluster;
  readonly environment: NodeJS.ProcessEnv;
  private readonly dir: string;
  private readonly kubectlPath: string;
  readonly helmPath: string;

  private constructor(cluster: RunningCluster, dir: string, clients: { kubectl: string; helm: string }) {
    this.cluster = cluster;
    this.dir = dir;
    this.kubectlPath = clients.kubectl;
    this.helmPath = clients.helm;
    this.environment = { ...process.env, KUBECONFIG: cluster.kubeconfigPath, HOME: dir, XDG_STATE_HOME: dir };
  }

  static async start(o: {
    name: string;
    onProgress?: (sentence: string) => void;
    stateDir?: string;
  }): Promise<LocalMesh> {
    const dir = await mkdtemp(path.join(tmpdir(), `weft-${o.name}-`));
    try {
      const clients = await ensureKubernetesClients();
      const cluster = await startCluster({
        name: o.name,
        stateDir: o.stateDir ?? path.join(dir, 'cluster'),
        images: meshImages,
        ...(o.onProgress === undefined ? {} : { onProgress: o.onProgress }),
      });
      return new LocalMesh(cluster, dir, clients);
    } catch (error) {
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  /** Ends the cluster; nothing of it is left. */
  async stop(): Promise<void> {
    await this.cluster.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return capture(this.kubectlPath, args, { env: this.environment });
  }

  helm(...args: readonly string[]): Promise<string> {
    return capture(this.helmPath, args, { env: this.environment });
  }

  /** The command line, as a user calls it. */
  weft(...args: readonly string[]): Promise<string> {
    return capture(process.execPath, [weftProgram, ...args], { env: this.environment });
  }

  /** `weft install`, with the engine that ZTUNNEL_ENGINE says; without it ztunnel chooses. */
  install(...more: readonly string[]): Promise<string> {
    const engine = process.env['ZTUNNEL_ENGINE'];
    const values = engine === undefined ? [] : ['--set', `ztunnel.env.ZTUNNEL_ENGINE=${engine}`];
    return this.weft('install', '--timeout', '90s', ...values, ...more);
  }

  /** The command line, where it may fail: how it ended, and all that it printed. */
  async tryWeft(...args: readonly string[]): Promise<{ readonly status: number; readonly output: string }> {
    const child = spawn(process.execPath, [weftProgram, ...args], {
      env: this.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    const status = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code ?? -1));
    });
    return { status, output };
  }

  async apply(manifest: string): Promise<string> {
    return capture(this.kubectlPath, ['apply', '-f', '-'], { env: this.environment, input: manifest });
  }

  /** By one kubectl, in this order. */
  applyAll(objects: readonly object[]): Promise<string> {
    return this.apply(objects.map((object) => JSON.stringify(object)).join('\n'));
  }

  async json<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.kubectl(...args, '-o', 'json')) as T; // the caller knows the kind it asked for
  }

  /** Runs a command in a pod; its output. */
  exec(namespace: string, pod: string, ...command: readonly string[]): Promise<string> {
    return this.kubectl('exec', '-n', namespace, pod, '--', ...command);
  }

  /** A command in a pod that goes on; kill it when done. */
  execInBackground(namespace: string, pod: string, ...command: readonly string[]): ChildProcess {
    const args = ['exec', '-n', namespace, pod, '--', ...command];
    return spawn(this.kubectlPath, args, { env: this.environment, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  async pods(namespace: string, selector?: string): Promise<readonly PodView[]> {
    const args = ['get', 'pods', '-n', namespace, ...(selector === undefined ? [] : ['-l', selector])];
    const { items } = await this.json<{ items: PodView[] }>(...args);
    return items.filter((pod) => pod.metadata.deletionTimestamp === undefined);
  }

  async rollout(namespace: string, ...objects: readonly string[]): Promise<void> {
    for (const object of objects)
      await this.kubectl('rollout', 'status', '-n', namespace, object, '--timeout=90s');
  }

  /** Waits until every pod of a namespace is redirected, or none is. */
  async untilRedirected(namespace: string, wanted: boolean, selector?: string): Promise<void> {
    await eventually(60_000, async () => {
      const pods = await this.pods(namespace, selector);
      const odd = pods.filter(
        (p) => (p.metadata.annotations?.['ambient.istio.io/redirection'] === 'enabled') !== wanted,
      );
      if (pods.length === 0 || odd.length > 0) {
        throw new Error(
          `pods of ${namespace} not ${wanted ? '' : 'un'}redirected: ${odd.map((p) => p.metadata.name).join(', ')}`,
        );
      }
    });
  }
}
