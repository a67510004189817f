import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CertificateAuthority, createKeyPair, privateKeyPem } from '@weft/spiffe';
import { createIntermediate, issueRevocationList } from '@weft/spiffe/testing';
import { eventually, MeshSandbox, readAll, sleep } from './mesh-sandbox.ts';

/** Steps of identity.kernel.test.ts; they run inside a Sandbox. */

let mesh: MeshSandbox;
let folder: string;
let root: CertificateAuthority;
const ips = { client: '10.0.1.1', server: '10.0.2.1' };
/** What each stage of a rotation sees, however slow the machine is. */
const CONNECTIONS_A_STAGE = 5;
const identityOf = (pod: string): string => `spiffe://cluster.local/ns/default/sa/${pod}`;
/** Tunnels are given up at once, so that nearly every connection is a handshake. */
const settingsOf = (node: string): Readonly<Record<string, string>> => ({
  CRL_PATH: crlOf(node),
  POOL_UNUSED_RELEASE_TIMEOUT: '40ms',
});
const crlOf = (node: string): string => join(folder, `${node}.crl`);

export async function start(): Promise<void> {
  folder = mkdtempSync(join(tmpdir(), 'weft-crl-'));
  root = await authority('root');
  mesh = await MeshSandbox.create();
  mesh.controlPlane.issueWith(root, root.rootsPem, 3_600_000);
  for (const [i, pod] of (['client', 'server'] as const).entries()) {
    const node = `node-${i + 1}`;
    mesh.addNode(node, `10.0.${i + 1}.254`);
    mesh.addPod(pod, node, ips[pod]);
    mesh.startZtunnel(node, settingsOf(node));
    await mesh.untilReady(node);
    await mesh.capture(pod);
    mesh.serve(pod, 8080);
  }
}

export async function stop(): Promise<void> {
  await mesh.stop();
  rmSync(folder, { recursive: true });
}

async function authority(commonName: string): Promise<CertificateAuthority> {
  const keyPem = privateKeyPem((await createKeyPair()).privateKey);
  return CertificateAuthority.createSelfSigned({ subject: { commonName }, keyPem });
}

export interface Revocation {
  /** How the open connection ended. */
  readonly open: string;
  readonly fresh: string;
  readonly logged: string;
  /** Rejections that the open connection made. */
  readonly countedByCut: number;
  readonly counted: boolean;
  readonly afterwards: string;
}

/** One node hears that the certificate of the other node's pod is revoked, while a connection is open. */
export async function revoke(node: 'node-1' | 'node-2', pod: 'client' | 'server'): Promise<Revocation> {
  const leaf = mesh.controlPlane.leaves.get(identityOf(pod)) ?? '';
  return whileRevoked(node, issueRevocationList(root, [leaf]));
}

/** The root revokes the authority that issued the certificates in use. */
export async function revokeIntermediate(): Promise<Revocation> {
  const intermediate = await createIntermediate(root, 'intermediate');
  await reissue(intermediate, root.rootsPem);
  const result = await whileRevoked('node-2', issueRevocationList(root, [intermediate.certPem]));
  await reissue(root, root.rootsPem);
  return result;
}

async function whileRevoked(node: 'node-1' | 'node-2', list: string): Promise<Revocation> {
  const logAt = mesh.log(node).length;
  const reporter = node === 'node-1' ? 'source' : 'destination';
  const rejections = (): Promise<number> =>
    mesh.metric(node, 'istio_crl_policy_rejections_total', `reporter="${reporter}"`);
  const before = await rejections();
  const socket = mesh.dial('client', ips.server, 8080);
  await once(socket, 'data');
  const ended = readAll(socket).then(() => 'closed', codeOf);
  writeFileSync(crlOf(node), list);
  const open = await ended;
  await eventually('the cut to be counted', async () => (await rejections()) > before);
  const countedByCut = (await rejections()) - before;
  const fresh = await talk();
  const counted = await eventually('both to be counted', async () => (await rejections()) >= before + 2).then(
    () => true,
    () => false,
  );
  const logged = mesh.log(node).slice(logAt);
  writeFileSync(crlOf(node), '');
  await eventually('connections again', async () => (await talk()).startsWith('server'));
  const line = logged.split('\n').find((l) => l.includes('connection complete') && l.includes('WEFT1608'));
  return {
    open,
    fresh,
    logged: line?.split('\t')[1] ?? logged,
    countedByCut,
    counted,
    afterwards: await talk(),
  };
}

/** Every certificate anew, by another authority or for another time: new proxies ask for all of them. */
async function reissue(ca: CertificateAuthority, rootsPem: string, ttlMs = 3_600_000): Promise<void> {
  mesh.controlPlane.issueWith(ca, rootsPem, ttlMs);
  for (const node of ['node-1', 'node-2']) {
    await mesh.stopZtunnel(node, 'SIGKILL');
    mesh.startZtunnel(node, settingsOf(node));
    await mesh.untilReady(node);
  }
  await eventually('connections again', async () => (await talk()).startsWith('server'));
}

/**
 * From one root to another as an operator does it: trust both, issue by the new one, forget the old one, while
 * connections are made all the time, each with a handshake of its own.
 */
export async function rotateRoots(): Promise<{ failed: string[]; issuedBy: string }> {
  const next = await authority('next root');
  const both = root.rootsPem + next.rootsPem;
  const ttlMs = 60_000; // backdated by two minutes, so that half of it is over at once and it is renewed every second
  const { leaves } = mesh.controlPlane;
  const failed: string[] = [];
  let made = 0;
  let isOver = false;
  await reissue(root, root.rootsPem, ttlMs);
  const connections = (async () => {
    while (!isOver) {
      const answer = await talk();
      made++;
      if (!answer.startsWith('server')) failed.push(answer);
      await sleep(60);
    }
  })();
  for (const [ca, rootsPem] of [
    [root, both],
    [next, both],
    [next, next.rootsPem],
  ] as const) {
    leaves.clear();
    mesh.controlPlane.issueWith(ca, rootsPem, ttlMs);
    await eventually('new certificates', async () => leaves.size >= 2);
    await sleep(500); // those that were asked for before may still be on their way
    const before = made;
    await eventually('connections by them', async () => made >= before + CONNECTIONS_A_STAGE);
  }
  isOver = true;
  await connections;
  const dump = await mesh.configDump('node-1');
  const { rootCerts } = dump.certificates.find(({ identity }) => identity === identityOf('client')) ?? {};
  const inUse = Buffer.from(rootCerts?.[0]?.pem ?? '', 'base64').toString();
  return { failed, issuedBy: inUse === next.rootsPem ? 'next root' : inUse };
}

async function talk(): Promise<string> {
  return (await mesh.talk('client', ips.server, 8080, '').catch(codeOf)).trim();
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error);
}
