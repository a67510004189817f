import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Pod } from '@weft/kubernetes';
import { ContainedProcess, end, track } from './chaos-process.ts';
import { FakeKubernetes } from './fake-kubernetes.ts';

/** Small and good enough; the seed makes the plan of kills and pods, not the scheduling of the kernel, repeatable. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const compiled = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** One node: the API server, and what kills and restarts the agent and ztunnel. */
export class ChaosNode {
  readonly api = new FakeKubernetes();
  readonly dir = mkdtempSync(path.join(tmpdir(), 'weft-chaos-'));
  readonly random: () => number;
  /** How often the plugin said yes. */
  started = 0;
  private readonly backend: string;
  private agent: ContainedProcess | undefined;
  private ztunnel: ContainedProcess | undefined;
  private port = 0;

  constructor(seed: number, backend: string) {
    this.random = randomFrom(seed);
    this.backend = backend;
  }

  async open(): Promise<void> {
    spawnSync('ip', ['link', 'set', 'lo', 'up']);
    for (const name of ['proc', 'netns']) mkdirSync(path.join(this.dir, name));
    const san = 'subjectAltName=critical,URI:spiffe://cluster.local/ns/chaos/sa/default';
    const out = (name: string): string => path.join(this.dir, name);
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '1',
        '-subj',
        '/O=chaos',
        '-addext',
        san,
        '-keyout',
        out('key.pem'),
        '-out',
        out('cert.pem'),
      ],
      { stdio: 'ignore' },
    );
    this.port = await this.api.listen();
    this.api.putNamespace({ metadata: { name: 'chaos' } });
    const kubeconfig = {
      clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${this.port}` } }],
      users: [{ name: 'u', user: { token: 't' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    };
    writeFileSync(out('istio-cni-kubeconfig'), JSON.stringify(kubeconfig));
    this.startAgent();
    this.startZtunnel();
  }

  /** Into the log of the agent, between what it says itself. */
  note(what: string): void {
    appendFileSync(path.join(this.dir, 'agent.log'), `${new Date().toISOString()}\ttest\t${what}\n`);
  }

  /** What the agent said and the test did, as far as it concerns the node or one of the pods. */
  logOf(pods: readonly string[]): string {
    const lines = readFileSync(path.join(this.dir, 'agent.log'), 'utf8').split('\n');
    return lines
      .filter((line) => {
        const pod = /\bp\d+\b/.exec(line)?.[0];
        return pod === undefined || pods.includes(pod);
      })
      .join('\n');
  }

  /** Runs the plugin for a pod, and kills it at some moment with the given probability. */
  async plugin(pod: string, netns: string, address: string, killed: number): Promise<boolean> {
    const child = spawn(process.execPath, [compiled('../plugin/main.js')], {
      stdio: ['pipe', 'ignore', 'inherit'],
      env: {
        CNI_COMMAND: 'ADD',
        CNI_CONTAINERID: pod,
        CNI_IFNAME: 'eth0',
        CNI_NETNS: netns,
        CNI_ARGS: `K8S_POD_NAMESPACE=chaos;K8S_POD_NAME=${pod}`,
      },
    });
    track(child);
    child.stdin.on('error', () => undefined);
    child.stdin.end(
      JSON.stringify({
        cniVersion: '1.0.0',
        name: 'chaos',
        type: 'istio-cni',
        cni_agent_run_dir: this.dir,
        ambient_enabled: true,
        enablement_selectors: [{ podSelector: { matchLabels: { 'istio.io/dataplane-mode': 'ambient' } } }],
        pod_namespace: 'istio-system',
        prevResult: { cniVersion: '1.0.0', ips: [{ address: `${address}/32` }] },
      }),
    );
    if (this.random() < killed) setTimeout(() => child.kill('SIGKILL'), this.random() * 300).unref();
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code === 0) this.started++;
    this.note(`${pod}: plugin ended with ${code} in ${readlinkSync(netns)}`);
    return code === 0;
  }

  async killSomething(): Promise<void> {
    if (this.random() < 0.5) {
      await this.agent?.end('SIGKILL');
      this.note('agent killed');
      await sleep(this.random() * 300);
      this.startAgent();
    } else {
      await this.ztunnel?.end('SIGKILL');
      this.note('ztunnel killed');
      await sleep(this.random() * 300);
      this.startZtunnel();
    }
  }

  /** Links of the network namespaces that the agent holds, beside its own, and of those that ztunnel holds. */
  heldNamespaces(): readonly ReadonlySet<string>[] {
    return [this.agent, this.ztunnel].map((contained) => {
      const proc = `/proc/${contained?.pid}`;
      const links = readdirSync(`${proc}/fd`).map((fd) => {
        try {
          return readlinkSync(`${proc}/fd/${fd}`);
        } catch {
          return ''; // closed meanwhile
        }
      });
      const own = readlinkSync(`${proc}/ns/net`);
      return new Set(links.filter((link) => link.startsWith('net:') && link !== own));
    });
  }

  async close(): Promise<void> {
    await this.ztunnel?.end('SIGKILL');
    await this.agent?.end('SIGTERM');
    this.api.close();
  }

  private startAgent(): void {
    this.agent = new ContainedProcess(process.execPath, [
      compiled('./chaos-agent.js'),
      this.dir,
      String(this.port),
      this.backend,
    ]);
  }

  private startZtunnel(): void {
    this.ztunnel = new ContainedProcess(process.execPath, [compiled('./chaos-ztunnel.js'), this.dir]);
  }
}

/** A pod is a process that sleeps in a network namespace with an address and a route to nowhere. */
export class ChaosPod {
  readonly name: string;
  readonly address: string;
  private readonly node: ChaosNode;
  private sandbox: ChildProcess | undefined;
  alive = false;

  constructor(node: ChaosNode, index: number) {
    this.node = node;
    this.name = `p${index}`;
    this.address = `10.50.${index >> 8}.${index & 255}`;
  }

  get netns(): string {
    return `/proc/${this.sandbox?.pid}/ns/net`;
  }

  get netnsLink(): string {
    return readlinkSync(this.netns);
  }

  /** As a kubelet does: a new sandbox for each try, until the plugin says yes. */
  async start(labelled: boolean, killed: number): Promise<void> {
    this.node.api.putPod(this.object('Pending', labelled));
    for (;;) {
      await this.makeSandbox();
      if (await this.node.plugin(this.name, this.netns, this.address, killed)) break;
      await sleep(800);
    }
    this.alive = true;
    this.node.api.putPod({ ...this.object('Running', labelled), metadata: this.latest(labelled) });
  }

  label(labelled: boolean): void {
    this.node.note(`${this.name}: ${labelled ? 'labelled' : 'label taken away'}`);
    this.node.api.putPod({ ...this.object('Running', labelled), metadata: this.latest(labelled) });
  }

  /** Its sandbox dies and is made again, with the plugin or past it. */
  async restart(withPlugin: boolean): Promise<void> {
    this.node.note(`${this.name}: sandbox made anew ${withPlugin ? 'with' : 'past'} the plugin`);
    await this.endSandbox();
    await this.makeSandbox();
    if (!withPlugin) return;
    while (!(await this.node.plugin(this.name, this.netns, this.address, 0))) await sleep(100);
  }

  async stop(completes: boolean): Promise<void> {
    this.node.note(`${this.name}: stops`);
    this.alive = false;
    const pod = this.node.api.pod(this.name);
    if (completes && pod !== undefined)
      this.node.api.putPod({ ...pod, status: { ...pod.status, phase: 'Succeeded' } });
    await this.endSandbox();
    this.node.api.deletePod(this.name);
  }

  private async makeSandbox(): Promise<void> {
    await this.endSandbox();
    const commands = [
      'link set lo up',
      'link add eth0 type veth peer name peer0',
      'link set peer0 up',
      'link set eth0 up',
      `addr add ${this.address}/32 dev eth0`,
      'route add default dev eth0',
    ].join('\n');
    const child = spawn(
      'unshare',
      ['-n', 'sh', '-c', `echo "${commands}" | ip -batch - && echo up && exec sleep 600`],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    track(child);
    await once(child.stdout, 'data');
    this.sandbox = child;
    this.node.note(`${this.name}: sandbox ${this.netnsLink}`);
    symlinkSync(this.netns, path.join(this.node.dir, 'netns', this.name));
  }

  private async endSandbox(): Promise<void> {
    rmSync(path.join(this.node.dir, 'netns', this.name), { force: true });
    if (this.sandbox !== undefined) await end(this.sandbox);
  }

  private object(phase: 'Pending' | 'Running', labelled: boolean): Pod {
    const before = this.node.api.pod(this.name);
    return {
      metadata: {
        name: this.name,
        namespace: 'chaos',
        uid: `uid-${this.name}`,
        labels: { 'istio.io/dataplane-mode': labelled ? 'ambient' : 'none' },
      },
      spec: { containers: [], serviceAccountName: 'default' },
      status: { ...before?.status, phase, podIPs: phase === 'Running' ? [{ ip: this.address }] : [] },
    };
  }

  private latest(labelled: boolean): Pod['metadata'] {
    return { ...this.node.api.pod(this.name)?.metadata, ...this.object('Running', labelled).metadata };
  }
}
