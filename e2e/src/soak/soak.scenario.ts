import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { istio } from '@weft/api/workload';
import { CertificateAuthority, createKeyPair, privateKeyPem } from '@weft/spiffe';
import { bytesOf, eventually, MeshSandbox, sleep } from '@weft/ztunnel/testing';
import type { Sample } from './growth.ts';
import { liveHeapMib } from './live-heap.ts';

/** Two proxies under churn; the steps run inside a Sandbox. */

const NODES = ['node-1', 'node-2'] as const;
const SERVER_IP = '10.0.2.1';
const CHURNED_IP = '10.0.2.2';
const TALKERS = 6;
/** Backdated by two minutes, so that each certificate is renewed every second. */
const CERTIFICATE_TTL_MS = 60_000;
/** As in the chart; and it tells of collections, which `NODE_OPTIONS` has no way to ask for. */
const MEMORY = {
  NODE_OPTIONS: `--max-semi-space-size=8 --import=${new URL('./trace-gc.js', import.meta.url).href}`,
  MALLOC_ARENA_MAX: '2',
};
const FOREIGN_WORKLOADS = 200;

let mesh: MeshSandbox;
let stopped = new AbortController();
let churn: Promise<unknown> = Promise.resolve();
const work = { connections: 0, aborted: 0, pods: 0, policies: 0, workloads: 0 };
/** Failures of connections that nothing should disturb. */
const unexpected: string[] = [];

export async function start(): Promise<void> {
  mesh = await MeshSandbox.create();
  const { privateKey } = await createKeyPair();
  const ca = await CertificateAuthority.createSelfSigned({
    subject: { commonName: 'soak' },
    keyPem: privateKeyPem(privateKey),
  });
  mesh.controlPlane.issueWith(ca, ca.rootsPem, CERTIFICATE_TTL_MS);
  for (const [i, node] of NODES.entries()) {
    mesh.addNode(node, `10.0.${i + 1}.254`);
    mesh.startZtunnel(node, { ...MEMORY, RUST_LOG: 'error', POOL_UNUSED_RELEASE_TIMEOUT: '2s' });
    await mesh.untilReady(node);
  }
  mesh.addPod('client', 'node-1', '10.0.1.1');
  mesh.addPod('server', 'node-2', SERVER_IP);
  mesh.addPod('churned', 'node-2', CHURNED_IP);
  for (const pod of ['client', 'server', 'churned']) {
    await mesh.capture(pod);
    mesh.serve(pod, 8080);
  }
}

/** Starts what goes on until `rest`. */
export function begin(): void {
  stopped = new AbortController();
  const talkers = Array.from({ length: TALKERS }, (_, i) => until(talk, 5 + i));
  churn = Promise.all([
    ...talkers,
    until(churnPod, 1_500),
    until(churnPolicy, 200),
    until(churnWorkload, 20),
  ]);
}

/** Ends the churn and waits until the proxies have closed what it left open. */
export async function rest(): Promise<void> {
  stopped.abort();
  await churn;
  for (const node of NODES) {
    const isIdle = async (): Promise<boolean> => (await mesh.metric(node, 'istio_tcp_sockets_open')) === 0;
    await eventually('no open connection', isIdle).catch(async () => {
      const { body } = await mesh.get(node, 15_000, '/connections');
      unexpected.push(`${node} has connections left: ${body}`);
    });
  }
  // Tunnels that nobody uses are given up after two seconds.
  await sleep(4_000);
}

export async function samples(): Promise<readonly Sample[]> {
  return Promise.all(
    NODES.map(async (node) => {
      const { pid } = mesh.ztunnel(node);
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const mib = (field: string): number =>
        Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) / 1_024;
      const links = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
      return {
        node,
        rssMib: mib('VmRSS'),
        anonymousMib: mib('RssAnon'),
        heapMib: liveHeapMib(mesh.log(node)),
        descriptors: links.length,
        sockets: links.filter((link) => link.startsWith('socket:')).length,
        threads: Number(/^Threads:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN),
        openConnections: await mesh.metric(node, 'istio_tcp_sockets_open'),
      };
    }),
  );
}

/** What was done, and which connections failed that should not have. */
export function outcome(): {
  readonly work: Readonly<Record<string, number>>;
  readonly unexpected: readonly string[];
} {
  return {
    work: { ...work, certificates: mesh.controlPlane.issued.length },
    unexpected: unexpected.slice(0, 10),
  };
}

export function stop(): Promise<void> {
  return mesh.stop();
}

async function until(step: () => Promise<void>, pauseMs: number): Promise<void> {
  while (!stopped.signal.aborted) {
    await step().catch((error: unknown) => unexpected.push(String(error)));
    await sleep(pauseMs);
  }
}

/** A connection that ends well, or that its client drops in the middle; one in four to the pod that comes and goes. */
async function talk(): Promise<void> {
  work.connections++;
  const kind = work.connections % 4;
  const ip = kind === 0 ? CHURNED_IP : SERVER_IP;
  if (kind === 1) {
    work.aborted++;
    const socket = mesh.dial('client', ip, 8080);
    await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    socket.resetAndDestroy();
    return;
  }
  const text = 'x'.repeat(kind === 2 ? 100_000 : 10);
  const answer = await mesh.talk('client', ip, 8080, text).catch((error: unknown) => String(error));
  if (kind !== 0 && !answer.endsWith(text)) unexpected.push(answer.slice(0, 200));
}

async function churnPod(): Promise<void> {
  work.pods++;
  await mesh.release('churned');
  await mesh.readd('churned');
}

/** Policies of the namespace that all connections are judged by, none of which denies them. */
async function churnPolicy(): Promise<void> {
  const name = `policy-${work.policies++ % 20}`;
  if (work.policies % 3 === 0) {
    mesh.controlPlane.removePolicy(`default/${name}`);
    return;
  }
  const { NAMESPACE } = istio.security.Scope;
  const principals = [{ exact: `cluster.local/ns/default/sa/nobody-${work.policies}` }];
  mesh.controlPlane.setPolicy({
    name,
    namespace: 'default',
    scope: NAMESPACE,
    action: istio.security.Action.DENY,
    rules: [{ clauses: [{ matches: [{ principals }] }] }],
  });
}

/** Workloads of other nodes that come, move and go. */
async function churnWorkload(): Promise<void> {
  const n = work.workloads++;
  const uid = `Kubernetes//Pod/elsewhere/w${n % FOREIGN_WORKLOADS}`;
  if (n % 5 === 0) {
    mesh.controlPlane.removeWorkload(uid);
    return;
  }
  mesh.controlPlane.setWorkload({
    uid,
    name: `w${n}`,
    namespace: 'elsewhere',
    node: 'another',
    addresses: [bytesOf(`10.7.${(n >> 8) & 255}.${n & 255}`)],
    serviceAccount: `account-${n}`,
  });
}

/** Empty for a descriptor that was closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
