import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, isIPv6, Socket, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ZTUNNEL_MARK } from '@weft/api';
import { istio } from '@weft/api/workload';
import {
  createNetworkNamespace,
  createTcpListener,
  createTcpSocket,
  inNetworkNamespace,
  type NetworkNamespace,
} from '@weft/linux';
import type { CertificateAuthority } from '@weft/spiffe';
import type { ConfigDump } from './config-dump-shape.ts';
import { FakeControlPlane } from './control-plane.ts';
import { FakeAgent } from './fake-agent.ts';
import { applyInPodRules } from './in-pod-rules.ts';
import { bytesOf, ipv6Of } from './pod-addresses.ts';
import { eventually, readAll, sleep } from './waiting.ts';

export { bytesOf, ipv6Of } from './pod-addresses.ts';
export { eventually, readAll, sleep } from './waiting.ts';

const CONTROL_PLANE_IP = '10.0.0.254';
const CONTROL_PLANE_PORT = 15_012;
/** A start takes a second, and fifteen on a machine that has ten times too much to do. */
const READY_TIMEOUT_MS = 40_000;

export interface SandboxPod {
  readonly name: string;
  readonly node: string;
  readonly ip: string;
  readonly namespace: NetworkNamespace;
  /** The host's end of its link, if it has one. */
  readonly link?: string;
  isCaptured: boolean;
}

interface Node {
  readonly name: string;
  namespace: NetworkNamespace;
  readonly agent: FakeAgent;
  ztunnel: ChildProcess | undefined;
  log: string;
}

const run = (...command: readonly string[]): string =>
  execFileSync(command[0] ?? '', command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });

/**
 * Nodes and pods as network namespaces on one bridge, our proxy on each node, and fakes of what feeds it. Runs
 * inside a Sandbox, where it may do all that.
 */
export class MeshSandbox {
  readonly controlPlane: FakeControlPlane;
  readonly pods = new Map<string, SandboxPod>();
  private readonly folder = mkdtempSync(join(tmpdir(), 'weft-mesh-'));
  private readonly nodes = new Map<string, Node>();
  private readonly servers: Server[] = [];
  private readonly children = new Set<ChildProcess>();
  private nextLink = 1;

  private constructor(controlPlane: FakeControlPlane) {
    this.controlPlane = controlPlane;
    this.writeRoots();
    process.on('exit', () => this.kill());
  }

  static async create(): Promise<MeshSandbox> {
    run('mount', '-t', 'tmpfs', 'none', '/run'); // the lock of iptables
    run('ip', 'link', 'set', 'lo', 'up');
    run('ip', 'link', 'add', 'bridge', 'type', 'bridge');
    run('ip', 'address', 'add', `${CONTROL_PLANE_IP}/16`, 'dev', 'bridge');
    run('ip', 'link', 'set', 'bridge', 'up');
    return new MeshSandbox(await FakeControlPlane.start(CONTROL_PLANE_IP, CONTROL_PLANE_PORT));
  }

  /** Another control plane of the same mesh. Proxies have the file of its roots a little later. */
  async replaceControlPlane(ca: CertificateAuthority, delayMs: number): Promise<void> {
    await this.controlPlane.restart(CONTROL_PLANE_IP, CONTROL_PLANE_PORT, ca);
    await sleep(delayMs);
    this.writeRoots();
  }

  private writeRoots(): void {
    writeFileSync(join(this.folder, 'root-cert.pem'), this.controlPlane.rootsPem);
  }

  addNode(name: string, ip: string): void {
    const namespace = this.addNamespace(ip);
    this.nodes.set(name, {
      name,
      namespace,
      agent: new FakeAgent(join(this.folder, `${name}.sock`)),
      ztunnel: undefined,
      log: '',
    });
    const ztunnel = { namespace: 'istio-system', serviceAccount: 'ztunnel', nativeTunnel: true };
    this.tell(`ztunnel-${name}`, { ...ztunnel, node: name, addresses: [bytesOf(ip)], tunnelProtocol: 1 });
  }

  /** A pod with a proxy of its own, which is started as that of a node of its name. */
  addDedicatedPod(name: string, ip: string): void {
    this.addPod(name, name, ip);
    const { namespace } = this.pod(name);
    const agent = new FakeAgent(join(this.folder, `${name}.sock`));
    this.nodes.set(name, { name, namespace, agent, ztunnel: undefined, log: '' });
    this.controlPlane.ownIdentities.set(ip, `spiffe://cluster.local/ns/default/sa/${name}`);
    inNetworkNamespace(namespace, () => {
      applyInPodRules();
      // Elsewhere, rules for a dedicated proxy leave out what its user sends.
      run('iptables', '-t', 'nat', '-I', 'ISTIO_OUTPUT', '-d', CONTROL_PLANE_IP, '-j', 'ACCEPT');
    });
    this.pod(name).isCaptured = true;
  }

  startDedicatedZtunnel(name: string, env: Readonly<Record<string, string>> = {}): void {
    this.describe(name);
    this.startZtunnel(name, {
      PROXY_MODE: 'dedicated',
      PROXY_WORKLOAD_INFO: `default/${name}/${name}`,
      PACKET_MARK: String(ZTUNNEL_MARK),
      ...env,
    });
  }

  /** A captured pod's rules, for a proxy that isn't ours and needs no agent. */
  redirect(name: string): void {
    inNetworkNamespace(this.pod(name).namespace, () => applyInPodRules());
  }

  addPod(name: string, node: string, ip: string): void {
    const link = `link${this.nextLink}`;
    this.pods.set(name, { name, node, ip, link, namespace: this.addNamespace(ip), isCaptured: false });
    this.describe(name);
  }

  /** Tells the control plane of the pod as it is now. */
  describe(name: string, more: istio.workload.Workload.$Properties = {}): void {
    const { ip, node, isCaptured } = this.pod(name);
    this.tell(name, { node, addresses: [bytesOf(ip)], tunnelProtocol: isCaptured ? 1 : 0, ...more });
  }

  /** Tells the control plane of a workload. */
  tell(name: string, more: istio.workload.Workload.$Properties): void {
    this.controlPlane.setWorkload({
      uid: `Kubernetes//Pod/default/${name}`,
      name,
      namespace: 'default',
      serviceAccount: name,
      canonicalName: name,
      canonicalRevision: 'latest',
      workloadName: name,
      status: 0,
      ...more,
    });
  }

  /** What the CNI agent does for a labelled pod. */
  async capture(name: string, more: istio.workload.Workload.$Properties = {}): Promise<void> {
    const pod = this.pod(name);
    this.redirect(name);
    pod.isCaptured = true;
    const answer = await this.node(pod.node).agent.add(pod);
    if (answer !== '') throw new Error(answer);
    this.describe(name, more);
    await this.untilKnown(({ workloads }) =>
      workloads.some((w) => w.name === name && w.protocol === 'HBONE'),
    );
  }

  async release(name: string): Promise<void> {
    const pod = this.pod(name);
    pod.isCaptured = false;
    await this.node(pod.node).agent.delete(name);
  }

  /** Hands a pod over again whose rules are in place. */
  async readd(name: string): Promise<void> {
    const pod = this.pod(name);
    pod.isCaptured = true;
    const answer = await this.node(pod.node).agent.add(pod);
    if (answer !== '') throw new Error(answer);
  }

  /** @param ip gives the proxy's pod another address, for one that runs beside its predecessor */
  startZtunnel(name: string, env: Readonly<Record<string, string>> = {}, ip?: string): void {
    const node = this.node(name);
    if (ip !== undefined) node.namespace = this.addNamespace(ip);
    const main = fileURLToPath(new URL('../main.js', import.meta.url));
    const child = inNetworkNamespace(node.namespace, () =>
      spawn(process.execPath, [main], {
        env: {
          PATH: process.env['PATH'],
          NODE_NAME: name,
          XDS_ADDRESS: `https://${CONTROL_PLANE_IP}:${CONTROL_PLANE_PORT}`,
          CA_ADDRESS: `https://${CONTROL_PLANE_IP}:${CONTROL_PLANE_PORT}`,
          XDS_ROOT_CA: join(this.folder, 'root-cert.pem'),
          CA_ROOT_CA: join(this.folder, 'root-cert.pem'),
          INPOD_UDS: join(this.folder, `${name}.sock`),
          POD_NAME: `ztunnel-${name}`,
          POD_NAMESPACE: 'istio-system',
          SERVICE_ACCOUNT: 'ztunnel',
          ZTUNNEL_ENGINE: process.env['ZTUNNEL_ENGINE'],
          ...env,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
    node.ztunnel = child;
    this.children.add(child);
    child.once('exit', () => this.children.delete(child));
    node.agent.pods = () => [...this.pods.values()].filter((pod) => pod.node === name && pod.isCaptured);
    const keep = (chunk: Buffer): void => {
      node.log += chunk.toString();
      if (process.env['WEFT_TEST_VERBOSE'] !== undefined)
        process.stderr.write(`${name}: ${chunk.toString()}`);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
  }

  /** The proxy that was started last on a node. */
  ztunnel(name: string): ChildProcess {
    return this.node(name).ztunnel ?? fail(`ztunnel on ${name}`);
  }

  /** Resolves to the exit code, or the signal's name. */
  stopZtunnel(name: string, signal: NodeJS.Signals, ztunnel = this.ztunnel(name)): Promise<string> {
    if (!this.children.has(ztunnel)) return Promise.resolve('not running');
    const ended = new Promise<string>((resolve) =>
      ztunnel.once('exit', (code, by) => resolve(String(code ?? by))),
    );
    ztunnel.kill(signal);
    return ended;
  }

  log(node: string): string {
    return this.node(node).log;
  }

  /** GET on a port of the node's own namespace, where ztunnel's endpoints are. */
  async get(node: string, port: number, path: string): Promise<{ status: number; body: string }> {
    const socket = this.dialNode(node, port);
    socket.write(`GET ${path} HTTP/1.0\r\n\r\n`); // so that nothing comes in chunks
    const text = (await readAll(socket)).toString();
    const [head = '', body = ''] = text.split(/\r\n\r\n([\s\S]*)/);
    return { status: Number(head.split(' ')[1]), body };
  }

  async untilReady(node: string): Promise<void> {
    const isReady = async (): Promise<boolean> => (await this.readiness(node)).status === 200;
    await eventually(`${node} to be ready`, isReady, READY_TIMEOUT_MS).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.log(node)}`);
    });
  }

  readiness(node: string): Promise<{ status: number; body: string }> {
    return this.get(node, 15_021, '/healthz/ready').catch((error: unknown) => ({
      status: 0,
      body: String(error),
    }));
  }

  async configDump(node: string): Promise<ConfigDump> {
    const { body } = await this.get(node, 15_000, '/config_dump');
    return JSON.parse(body) as ConfigDump; // our own shape
  }

  /** Waits until every running proxy has heard of something. */
  async untilKnown(isKnown: (dump: ConfigDump) => boolean): Promise<void> {
    for (const [name, node] of this.nodes) {
      if (node.ztunnel === undefined || node.ztunnel.exitCode !== null || node.ztunnel.signalCode !== null)
        continue;
      await eventually(`${name} to know`, async () => isKnown(await this.configDump(name)));
    }
  }

  /** The sum of a metric's samples whose labels include the text. */
  async metric(node: string, name: string, label = ''): Promise<number> {
    const { body } = await this.get(node, 15_020, '/metrics');
    return body
      .split('\n')
      .filter((line) => line.startsWith(name) && line.includes(label))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  /** An application in the pod: tells each client its name and the address it sees, then echoes. */
  serve(name: string, port: number): { stop(): void } {
    const { fd } = inNetworkNamespace(this.pod(name).namespace, () =>
      createTcpListener({ host: '::', port }),
    );
    const open = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      open.add(socket);
      socket.once('close', () => open.delete(socket));
      socket.write(`${name} sees ${socket.remoteAddress?.replace('::ffff:', '')}\n`);
      socket.pipe(socket);
    });
    server.listen({ fd });
    this.servers.push(server);
    return {
      stop: () => {
        server.close();
        for (const socket of open) socket.resetAndDestroy();
      },
    };
  }

  /** Sends a text, ends, and returns the whole answer; fails as the connection fails. */
  async talk(from: string, ip: string, port: number, text = 'hello'): Promise<string> {
    const socket = this.dial(from, ip, port);
    socket.end(text);
    return (await readAll(socket)).toString();
  }

  dial(from: string, ip: string, port: number): Socket {
    return this.dialIn(this.pod(from).namespace, ip, port);
  }

  /** A port of the node's own namespace. */
  dialNode(node: string, port: number): Socket {
    return this.dialIn(this.node(node).namespace, '127.0.0.1', port);
  }

  async stop(): Promise<void> {
    for (const server of this.servers) server.close();
    await Promise.all([...this.children].map((child) => this.stopZtunnel('', 'SIGKILL', child)));
    for (const { agent } of this.nodes.values()) agent.server.close();
    this.controlPlane.stop();
    rmSync(this.folder, { recursive: true });
  }

  private kill(): void {
    for (const child of this.children) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }

  private dialIn(namespace: NetworkNamespace, ip: string, port: number): Socket {
    const { fd } = inNetworkNamespace(namespace, () => createTcpSocket({ family: isIPv6(ip) ? 6 : 4 }));
    const socket = new Socket({ fd, allowHalfOpen: true }).connect({ host: ip, port });
    socket.on('error', () => undefined); // scenarios listen when they wait, and must survive when they don't
    socket.setTimeout(15_000, () => socket.destroy(new Error(`no answer from ${ip}:${port}`)));
    return socket;
  }

  private addNamespace(ip: string): NetworkNamespace {
    const namespace = createNetworkNamespace();
    const link = `link${this.nextLink++}`;
    const peer = `/proc/${process.pid}/fd/${namespace.fd}`;
    run('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', peer);
    run('ip', 'link', 'set', link, 'master', 'bridge', 'up');
    inNetworkNamespace(namespace, () => {
      run('ip', 'link', 'set', 'lo', 'up');
      run('ip', 'address', 'add', `${ip}/16`, 'dev', 'eth0');
      run('ip', 'address', 'add', `${ipv6Of(ip)}/64`, 'dev', 'eth0', 'nodad');
      run('ip', 'link', 'set', 'eth0', 'up');
      run('ip', 'route', 'add', 'default', 'via', CONTROL_PLANE_IP);
    });
    return namespace;
  }

  private pod(name: string): SandboxPod {
    return this.pods.get(name) ?? fail(name);
  }

  private node(name: string): Node {
    return this.nodes.get(name) ?? fail(name);
  }
}

function fail(what: string): never {
  throw new Error(`no ${what}`);
}
