import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { DELTA_ADS_METHOD, TypeUrl } from '@weft/api';
import { envoy } from '@weft/api/discovery';
import { istio } from '@weft/api/workload';
import {
  CertificateAuthority,
  type WorkloadCertificate,
  createCsr,
  createKeyPair,
  toSpiffeId,
  workloadCertificate,
} from '@weft/spiffe';
import { issueRevocationList } from '@weft/spiffe/testing';
import type { ControlPlane } from '../control-plane.ts';
import { TestCluster, until } from '../testing/test-cluster.ts';
import { certificateServiceDefinition } from './certificate-service.ts';

const web = toSpiffeId('spiffe://cluster.local/ns/shop/sa/web');
const { DeltaDiscoveryRequest, DeltaDiscoveryResponse } = envoy.service.discovery.v3;
const NODE = 'waypoint~1.1.1.1~web-1.shop~shop.svc.cluster.local';

let cluster: TestCluster;
let directory: string;

beforeEach(async () => {
  cluster = await TestCluster.start();
  directory = await mkdtemp(join(tmpdir(), 'cacerts-'));
});

afterEach(async () => {
  await cluster.close();
  await rm(directory, { recursive: true });
});

/** Calls with a client certificate and no token. */
async function withCertificate<T>(
  controlPlane: ControlPlane,
  { keyPem, chainPem }: Pick<WorkloadCertificate, 'keyPem' | 'chainPem'>,
  use: (client: grpc.Client) => Promise<T>,
): Promise<T> {
  const { rootsPem } = controlPlane;
  const credentials = grpc.credentials.createSsl(
    Buffer.from(rootsPem),
    Buffer.from(keyPem),
    Buffer.from(chainPem),
  );
  const client = new grpc.Client(`localhost:${controlPlane.ports.xds}`, credentials, {
    'grpc.ssl_target_name_override': 'istiod.istio-system.svc',
  });
  return use(client).finally(() => client.close());
}

async function renew(controlPlane: ControlPlane, present: Pick<WorkloadCertificate, 'keyPem' | 'chainPem'>) {
  const { IstioCertificateRequest } = istio.v1.auth;
  const keys = await createKeyPair();
  const { path, requestSerialize, responseDeserialize } = certificateServiceDefinition.CreateCertificate;
  return withCertificate(
    controlPlane,
    present,
    (client) =>
      new Promise<WorkloadCertificate>((resolve, reject) => {
        const request = IstioCertificateRequest.create({ csr: createCsr(keys, web) });
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, answer) => {
          if (error === null && answer !== undefined)
            resolve(workloadCertificate(web, keys.privateKey, answer.certChain));
          else reject(error ?? new Error('no answer'));
        });
      }),
  );
}

/** Resolves to the type of the first answer, or rejects with the status. */
function subscribe(controlPlane: ControlPlane, present: WorkloadCertificate, namespace: string) {
  const request = DeltaDiscoveryRequest.encode({
    typeUrl: TypeUrl.address,
    node: { id: NODE, metadata: { fields: { NAMESPACE: { stringValue: namespace } } } },
  }).finish();
  return withCertificate(
    controlPlane,
    present,
    (client) =>
      new Promise<string>((resolve, reject) => {
        const call = client.makeBidiStreamRequest(
          DELTA_ADS_METHOD,
          (bytes: Buffer) => bytes,
          (bytes: Buffer) => DeltaDiscoveryResponse.decode(bytes),
          new grpc.Metadata(),
        );
        call.on('data', (response: { typeUrl: string }) => {
          resolve(response.typeUrl);
          call.cancel();
        });
        call.on('error', reject);
        call.write(Buffer.from(request));
      }),
  );
}

it('renews the certificate of whoever shows the one before, and lets it subscribe as nobody else', async () => {
  const controlPlane = await cluster.controlPlane();
  const first = await cluster.fetchCertificate(controlPlane, 'web', web, { impersonate: false });
  const second = await renew(controlPlane, first);
  expect(second.identity).toBe(web);
  expect(await subscribe(controlPlane, second, 'shop')).toBe(TypeUrl.address);
  await expect(subscribe(controlPlane, second, 'istio-system')).rejects.toMatchObject({
    code: grpc.status.UNAUTHENTICATED,
  });
});

it('refuses certificates of other authorities, and those that were revoked, and tells every namespace of these', async () => {
  const [ours, theirs] = await Promise.all(
    ['ours', 'theirs'].map((commonName) =>
      CertificateAuthority.createSelfSigned({ subject: { commonName } }),
    ),
  );
  if (ours === undefined || theirs === undefined) throw new Error('no authorities');
  const keys = await createKeyPair();
  const sign = (authority: CertificateAuthority) => {
    const { leafPem, chainPem } = authority.sign({
      publicKey: keys.publicKey,
      uriSans: [web],
      ttlMs: 60_000,
    });
    const keyPem = String(keys.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    return { leafPem, chainPem, keyPem };
  };
  const [good, revoked, foreign] = [sign(ours), sign(ours), sign(theirs)];
  const { certPem, keyPem } = ours;
  const files = {
    'ca-cert.pem': certPem,
    'ca-key.pem': keyPem,
    'root-cert.pem': certPem,
    'cert-chain.pem': '',
    'ca-crl.pem': issueRevocationList(ours, [revoked.leafPem]),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  const controlPlane = await cluster.controlPlane({ ROOT_CA_DIR: directory });
  expect((await renew(controlPlane, good)).identity).toBe(web);
  for (const present of [revoked, foreign]) {
    await expect(renew(controlPlane, present)).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE });
  }
  const distributed = (): Promise<string | undefined> =>
    cluster.configMapEntry('shop', 'istio-ca-crl', 'ca-crl.pem');
  await until(async () => (await distributed()) === files['ca-crl.pem']);
});
