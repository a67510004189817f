import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Server, connect, createServer } from 'node:tls';
import { expect, it } from '@jest/globals';
import { CertificateAuthority, type WorkloadCertificate, toSpiffeId } from '@weft/spiffe';
import { describeError } from '@weft/telemetry';
import { TestCluster, fastClock, until } from '../testing/test-cluster.ts';

/** A minute of the control plane's takes four seconds. */
const SPEED = 15;
const TTL_SECONDS = 60;
/** Proxies renew at half of a certificate's life; these long before, so that a slow machine is no late proxy. */
const RENEWAL_MS = 300;
/** That are seen with each of: both roots known, the new one signing, only the new one known. */
const HANDSHAKES = 20;
const PEERS = 3;

const web = toSpiffeId('spiffe://cluster.local/ns/shop/sa/web');

it.each([
  {
    name: 'changes its root under load without failing one connection or certificate request',
    killed: false,
  },
  {
    name: 'goes on with that when the control plane is killed in the middle, without failing one connection',
    killed: true,
  },
])('$name', async ({ killed }) => {
  const directory = await mkdtemp(join(tmpdir(), 'cacerts-'));
  const cluster = await TestCluster.start();
  const ending = new AbortController();
  const { signal } = ending;
  const servers: Server[] = [];
  try {
    const [a, b] = await Promise.all(
      ['a', 'b'].map((commonName) => CertificateAuthority.createSelfSigned({ subject: { commonName } })),
    );
    if (a === undefined || b === undefined) throw new Error('no authorities');
    const plugIn = async ({ certPem, keyPem }: CertificateAuthority): Promise<void> => {
      const files = {
        'ca-cert.pem': certPem,
        'ca-key.pem': keyPem,
        'root-cert.pem': certPem,
        'cert-chain.pem': '',
      };
      await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(directory, name), text)));
    };
    await plugIn(a);
    const env = { ROOT_CA_DIR: directory, DEFAULT_WORKLOAD_CERT_TTL: `${TTL_SECONDS}s` };
    const clock = fastClock(SPEED);
    const first = await cluster.controlPlane(env, { clock });
    let running = Promise.resolve(first);
    const mountedRoots = () => cluster.configMapEntry('shop', 'istio-ca-root-cert', 'root-cert.pem');
    await until(async () => (await mountedRoots()) !== undefined);

    const failures: string[] = [];
    let handshakes = 0;
    const certificates: WorkloadCertificate[] = [];
    const fetchCertificate = async (): Promise<WorkloadCertificate> => {
      const rootsPem = await mountedRoots();
      const controlPlane = await running;
      try {
        const o = { ttlSeconds: TTL_SECONDS, readRoots: () => rootsPem };
        return await cluster.fetchCertificate(controlPlane, 'ztunnel-n1', web, o);
      } catch (error) {
        // A proxy asks again, for as long as the certificate that it has is good.
        if (killed && !signal.aborted) return fetchCertificate();
        throw error;
      }
    };
    const renew = async (i: number): Promise<void> => {
      const certificate = await fetchCertificate();
      certificates[i] = certificate;
      servers[i]?.setSecureContext(contextOf(certificate));
    };
    const handshake = (from: number, to: number): Promise<void> =>
      new Promise((resolve, reject) => {
        const address = servers[to]?.address();
        const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
        const socket = connect({
          port,
          ...contextOf(certificates[from]),
          checkServerIdentity: () => undefined,
        });
        // TLS 1.3: only what the server says later tells that it accepted our certificate.
        socket.on('data', () => socket.end());
        socket.on('error', reject);
        socket.on('close', () => resolve());
      });
    const forever = async (work: () => Promise<unknown>, pauseMs: number): Promise<void> => {
      while (!signal.aborted) {
        await work().catch((error: unknown) => failures.push(describeError(error)));
        await new Promise((resolve) => void setTimeout(resolve, pauseMs));
      }
    };

    const peers = [...Array(PEERS).keys()];
    for (const i of peers) {
      const server = createServer({ requestCert: true, rejectUnauthorized: true }, (socket) => {
        socket.on('error', () => undefined);
        socket.end('hello');
      });
      servers[i] = server;
      await renew(i);
      await new Promise<void>((resolve) => void server.listen(0, resolve));
    }
    const proxy = await cluster.connected(first, 'ztunnel-n1');
    const load = peers.flatMap((i) => [
      forever(() => renew(i), RENEWAL_MS * (0.5 + i / PEERS / 2)),
      forever(() => handshake(i, (i + 1) % PEERS).then(() => handshakes++), 10),
    ]);

    const untilMoreHandshakes = async (): Promise<void> => {
      const seen = handshakes;
      await until(() => handshakes >= seen + HANDSHAKES);
    };
    await plugIn(b);
    await untilMoreHandshakes();
    if (killed) {
      await until(async () => (await mountedRoots())?.includes(b.certPem) === true);
      running = first.close().then(() => cluster.controlPlane(env, { clock }));
      expect((await running).rootsPem).toContain(a.certPem);
    }
    await until(() => certificates.every(({ leaf }) => leaf.verify(b.certificate.publicKey)));
    await untilMoreHandshakes();
    await until(async () => (await mountedRoots()) === b.certPem);
    await untilMoreHandshakes();
    ending.abort();
    await Promise.all(load);
    expect(failures).toEqual([]);
    // Nothing is kept of what is over.
    const record = `${cluster.api.connection.server}/api/v1/namespaces/istio-system/secrets/weft-ca-rotation`;
    await until(async () => (await fetch(record)).status === 404);
    if (killed) return;
    // The stream that was open all the time still works.
    cluster.api.remove('/api/v1/pods', 'ztunnel-n2', 'istio-system');
    await until(() => proxy.updates().some((name) => name.startsWith('-')));
  } finally {
    ending.abort();
    for (const server of servers) server.close();
    await cluster.close();
    await rm(directory, { recursive: true });
  }
});

function contextOf(certificate: WorkloadCertificate | undefined) {
  return { key: certificate?.keyPem, cert: certificate?.chainPem, ca: certificate?.rootsPem };
}
