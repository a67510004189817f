import { execFileSync } from 'node:child_process';
import { CertificateAuthority } from '@weft/spiffe';
import { inNetworkNamespace } from '@weft/linux';
import { bytesOf, eventually, MeshSandbox } from './mesh-sandbox.ts';

/** Steps of control-plane.kernel.test.ts; they run inside a Sandbox. */

let mesh: MeshSandbox;
const ips = {
  client: '10.0.1.1',
  server: '10.0.2.1',
  stranger: '10.0.3.1',
  late: '10.0.2.2',
  quiet: '10.0.4.1',
};
const VIP = '10.96.0.1';
const HOST = 'web.default.svc.cluster.local';

/** `node-1` asks on demand, `node-2` follows everything, `node-3` has no proxy, `node-4` one for DNS alone. */
export async function start(): Promise<void> {
  mesh = await MeshSandbox.create();
  for (const [i, pod] of (['client', 'server', 'stranger', 'quiet'] as const).entries()) {
    mesh.addNode(`node-${i + 1}`, `10.0.${i + 1}.254`);
    mesh.addPod(pod, `node-${i + 1}`, ips[pod]);
  }
  mesh.controlPlane.setService({
    name: 'web',
    namespace: 'default',
    hostname: HOST,
    addresses: [{ network: '', address: bytesOf(VIP) }],
    ports: [{ servicePort: 80, targetPort: 8080 }],
  });
  mesh.startZtunnel('node-2');
  await mesh.untilReady('node-2');
  const ports = { ports: [{ servicePort: 80, targetPort: 8080 }] };
  await mesh.capture('server', { services: { [`default/${HOST}`]: ports } });
  mesh.startZtunnel('node-1', { XDS_ON_DEMAND: 'true', ISTIO_META_DNS_CAPTURE: 'false' });
  await mesh.untilReady('node-1');
  await mesh.capture('client');
  for (const pod of ['client', 'server', 'stranger']) mesh.serve(pod, 8080);
}

export function stop(): Promise<void> {
  return mesh.stop();
}

/** Names of the workloads that the proxy on demand knows. */
export async function known(): Promise<string[]> {
  const { workloads } = await mesh.configDump('node-1');
  return workloads.map(({ name }) => name).sort();
}

/** What the client hears, and what its proxy took the other end for. */
export async function onDemand(
  to: 'service' | 'server' | 'stranger',
): Promise<{ answer: string; identity: string | undefined }> {
  const logAt = mesh.log('node-1').length;
  const answer = await (to === 'service' ? mesh.talk('client', VIP, 80) : mesh.talk('client', ips[to], 8080));
  const lines = (): string => mesh.log('node-1').slice(logAt);
  await eventually('the access log', () => Promise.resolve(lines().includes('connection complete')));
  return { answer, identity: /dst\.identity="([^"]+)"/.exec(lines())?.[1] };
}

/** The control plane comes back under another root, which the proxies have in their file only later. */
export async function otherRoot(): Promise<{ answer: string; issued: boolean }> {
  await mesh.stopZtunnel('node-1', 'SIGKILL'); // it would never hear of the pod
  const ca = await CertificateAuthority.createSelfSigned({ subject: { organizations: ['next'] } });
  await mesh.replaceControlPlane(ca, 700);
  mesh.addPod('late', 'node-2', ips.late);
  mesh.serve('late', 8080);
  await mesh.capture('late');
  const identity = 'spiffe://cluster.local/ns/default/sa/late';
  const hasCertificate = async (): Promise<boolean> => {
    const { certificates } = await mesh.configDump('node-2');
    return certificates.some((c) => c.identity === identity && c.state === 'Available');
  };
  await eventually('a certificate of the new root', hasCertificate);
  return {
    answer: await mesh.talk('late', ips.stranger, 8080),
    issued: mesh.controlPlane.leaves.has(identity),
  };
}

/** The ports that ztunnel opened in a pod, with ENABLE_PROXY=false. */
export async function withoutProxy(): Promise<string[]> {
  mesh.startZtunnel('node-4', { ENABLE_PROXY: 'false' });
  await mesh.untilReady('node-4');
  const pod = mesh.pods.get('quiet');
  if (pod === undefined) throw new Error('no pod');
  pod.isCaptured = true;
  await mesh.readd('quiet');
  const table = inNetworkNamespace(pod.namespace, () => execFileSync('ss', ['-lntuH'], { encoding: 'utf8' }));
  return table
    .trim()
    .split('\n')
    .map((line) => line.split(/\s+/))
    .map(([transport, , , , local]) => `${transport} ${local}`)
    .sort();
}
