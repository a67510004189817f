import { ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inNetworkNamespace, type NetworkNamespace } from '@weft/linux';
import { CertificateAuthority, createKeyPair, privateKeyPem, toSpiffeId, type SpiffeId } from '@weft/spiffe';
import type { MeshSandbox } from '@weft/ztunnel/testing';
import { hboneClientBootstrap, hboneServerBootstrap } from './envoy-hbone.ts';

/** One way from a client pod to a server pod on another node, and the processes that make it. */
export interface BenchPath {
  readonly name: string;
  readonly client: NetworkNamespace;
  readonly serverIp: string;
  /** What carries the traffic; empty without a mesh. */
  readonly processes: readonly ChildProcess[];
}

export const HTTP_PORT = 80;
export const IPERF_PORT = 5201;

/** Captured pods on two nodes of their own, whose ztunnels run with the engine named. */
export async function weftPath(
  mesh: MeshSandbox,
  o: { name: string; subnet: number; env: Readonly<Record<string, string>> },
): Promise<BenchPath> {
  const { name, subnet } = o;
  const [near, far] = [`${name}-near`, `${name}-far`];
  const [client, server] = [`${name}-client`, `${name}-server`];
  mesh.addNode(near, `10.0.${subnet}.1`);
  mesh.addNode(far, `10.0.${subnet}.2`);
  mesh.addPod(client, near, `10.0.${subnet}.11`);
  mesh.addPod(server, far, `10.0.${subnet}.12`);
  for (const node of [near, far]) {
    mesh.startZtunnel(node, o.env);
    await mesh.untilReady(node);
  }
  await mesh.capture(client);
  await mesh.capture(server);
  return {
    name,
    client: namespaceOf(mesh, client),
    serverIp: `10.0.${subnet}.12`,
    processes: [mesh.ztunnel(near), mesh.ztunnel(far)],
  };
}

/** Two captured pods on one node. */
export async function sameNodePath(mesh: MeshSandbox, subnet: number): Promise<BenchPath> {
  const node = `same-${subnet}`;
  mesh.addNode(node, `10.0.${subnet}.1`);
  mesh.addPod(`${node}-client`, node, `10.0.${subnet}.11`);
  mesh.addPod(`${node}-server`, node, `10.0.${subnet}.12`);
  mesh.startZtunnel(node);
  await mesh.untilReady(node);
  await mesh.capture(`${node}-client`);
  await mesh.capture(`${node}-server`);
  return {
    name: 'same-node',
    client: namespaceOf(mesh, `${node}-client`),
    serverIp: `10.0.${subnet}.12`,
    processes: [mesh.ztunnel(node)],
  };
}

export function plainPath(mesh: MeshSandbox, subnet: number): BenchPath {
  mesh.addPod('plain-client', 'none', `10.0.${subnet}.11`);
  mesh.addPod('plain-server', 'none', `10.0.${subnet}.12`);
  return {
    name: 'no mesh',
    client: namespaceOf(mesh, 'plain-client'),
    serverIp: `10.0.${subnet}.12`,
    processes: [],
  };
}

/**
 * Envoy in each pod, doing the same work: `tcp_proxy` with a tunnel on one side, CONNECT termination on the other, mutual
 * TLS 1.3 between them. The client talks to Envoy's port in its own pod, which spares Envoy the redirection.
 */
export async function envoyPath(
  mesh: MeshSandbox,
  o: { envoy: string; folder: string; subnet: number; threads: number; children: Set<ChildProcess> },
): Promise<BenchPath> {
  const serverIp = `10.0.${o.subnet}.12`;
  mesh.addPod('envoy-client', 'none', `10.0.${o.subnet}.11`);
  mesh.addPod('envoy-server', 'none', serverIp);
  const authority = await CertificateAuthority.createSelfSigned({ subject: { organizations: ['bench'] } });
  const start = async (
    side: 'client' | 'server',
    bootstrap: (files: TlsFiles) => string,
  ): Promise<ChildProcess> => {
    const files = await writeCertificate(authority, o.folder, `envoy-${side}`);
    const config = join(o.folder, `envoy-${side}.yaml`);
    writeFileSync(config, bootstrap(files));
    const child = inNetworkNamespace(namespaceOf(mesh, `envoy-${side}`), () =>
      spawn(
        o.envoy,
        ['--concurrency', String(o.threads), '--disable-hot-restart', '--log-level', 'error', '-c', config],
        { stdio: ['ignore', 'ignore', 'inherit'] },
      ),
    );
    o.children.add(child);
    return child;
  };
  const ports = [HTTP_PORT, IPERF_PORT];
  const processes = [
    await start('server', (tls) => hboneServerBootstrap({ serverIp, ports, tls })),
    await start('client', (tls) => hboneClientBootstrap({ serverIp, ports, tls })),
  ];
  return { name: 'envoy', client: namespaceOf(mesh, 'envoy-client'), serverIp: '127.0.0.1', processes };
}

export interface TlsFiles {
  readonly key: string;
  readonly chain: string;
  readonly roots: string;
}

async function writeCertificate(ca: CertificateAuthority, folder: string, name: string): Promise<TlsFiles> {
  const { publicKey, privateKey } = await createKeyPair();
  const identity: SpiffeId = toSpiffeId(`spiffe://cluster.local/ns/default/sa/${name}`);
  const { chainPem } = ca.sign({ publicKey, uriSans: [identity], ttlMs: 24 * 3_600_000 });
  const files = {
    key: join(folder, `${name}.key`),
    chain: join(folder, `${name}.pem`),
    roots: join(folder, 'roots.pem'),
  };
  writeFileSync(files.key, privateKeyPem(privateKey), { mode: 0o600 });
  writeFileSync(files.chain, chainPem);
  writeFileSync(files.roots, ca.rootsPem);
  return files;
}

function namespaceOf(mesh: MeshSandbox, pod: string): NetworkNamespace {
  const found = mesh.pods.get(pod);
  if (found === undefined) throw new Error(`no pod ${pod}`);
  return found.namespace;
}
