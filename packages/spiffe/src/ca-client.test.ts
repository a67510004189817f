import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import grpc from '@grpc/grpc-js';
import { CREATE_CERTIFICATE_METHOD } from '@weft/api';
import { istio } from '@weft/api/workload';
import { IstioCaClient } from './ca-client.ts';
import { CertificateAuthority } from './certificate-authority.ts';
import { verifyCsr } from './csr.ts';
import { toSpiffeId } from './identity.ts';
import { createKeyPair, privateKeyPem } from './keys.ts';

const { IstioCertificateRequest, IstioCertificateResponse } = istio.v1.auth;
const identity = toSpiffeId('spiffe://cluster.local/ns/shop/sa/cart');
const subject = { organizations: ['cluster.local'] };
const [root, nextRoot] = await Promise.all([
  CertificateAuthority.createSelfSigned({ subject }),
  CertificateAuthority.createSelfSigned({ subject }),
]);
const never = new AbortController().signal;

let directory: string;
let server: grpc.Server | undefined;
let client: IstioCaClient | undefined;
let requests: { metadata: grpc.Metadata; request: istio.v1.auth.IstioCertificateRequest }[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-ca-'));
  writeFileSync(join(directory, 'token'), 'token-1');
  writeFileSync(join(directory, 'root.pem'), root.rootsPem);
  requests = [];
});
afterEach(() => {
  client?.close();
  server?.forceShutdown();
  rmSync(directory, { recursive: true });
});

async function startAuthority(ca: CertificateAuthority, dnsName: string, port = 0): Promise<number> {
  const { publicKey, privateKey } = await createKeyPair();
  const serving = ca.sign({ publicKey, dnsSans: [dnsName], ttlMs: 3_600_000 });
  server = new grpc.Server();
  server.addService(
    {
      createCertificate: {
        path: CREATE_CERTIFICATE_METHOD,
        requestStream: false,
        responseStream: false,
        requestSerialize: (m: istio.v1.auth.IstioCertificateRequest) =>
          Buffer.from(IstioCertificateRequest.encode(m).finish()),
        requestDeserialize: (b: Buffer) => IstioCertificateRequest.decode(b),
        responseSerialize: (m: istio.v1.auth.IstioCertificateResponse) =>
          Buffer.from(IstioCertificateResponse.encode(m).finish()),
        responseDeserialize: (b: Buffer) => IstioCertificateResponse.decode(b),
      },
    },
    {
      createCertificate: (
        call: grpc.ServerUnaryCall<
          istio.v1.auth.IstioCertificateRequest,
          istio.v1.auth.IstioCertificateResponse
        >,
        answer: grpc.sendUnaryData<istio.v1.auth.IstioCertificateResponse>,
      ) => {
        requests.push({ metadata: call.metadata, request: call.request });
        if (call.metadata.get('authorization')[0] === 'Bearer bad') {
          return answer({ code: grpc.status.UNAUTHENTICATED, details: 'authentication failure' });
        }
        const signed = ca.sign({ ...verifyCsr(call.request.csr), uriSans: [identity], ttlMs: 3_600_000 });
        answer(null, IstioCertificateResponse.create({ certChain: [signed.leafPem, ca.rootsPem] }));
      },
    },
  );
  const credentials = grpc.ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(privateKeyPem(privateKey)), cert_chain: Buffer.from(serving.chainPem) },
  ]);
  return new Promise((resolve, reject) => {
    server?.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
}

function createClient(port: number, o: { readonly alternativeHostname?: string } = {}): IstioCaClient {
  client = new IstioCaClient({
    address: `https://localhost:${port}`,
    readRoots: () => readFileSync(join(directory, 'root.pem'), 'utf8'),
    readToken: () => readFileSync(join(directory, 'token'), 'utf8'),
    clusterId: 'Kubernetes',
    headers: new Map([['x-extra', 'yes']]),
    impersonate: true,
    ...o,
  });
  return client;
}

it('gets a certificate for another identity, with the headers and the request that istiod expects', async () => {
  const certificate = await createClient(await startAuthority(root, 'localhost')).fetchCertificate(
    identity,
    never,
  );
  expect(certificate).toMatchObject({ identity, rootsPem: root.rootsPem });
  const { metadata, request } = requests[0]!;
  expect(metadata.getMap()).toMatchObject({
    authorization: 'Bearer token-1',
    clusterid: 'Kubernetes',
    'x-extra': 'yes',
  });
  expect(request.validityDuration.toNumber()).toBe(86_400);
  expect(request.metadata?.fields?.['ImpersonatedIdentity']?.stringValue).toBe(identity);
});

it('reads the token again for every request and reports a refusal', async () => {
  const ca = createClient(await startAuthority(root, 'localhost'));
  await ca.fetchCertificate(identity, never);
  writeFileSync(join(directory, 'token'), 'bad');
  await expect(ca.fetchCertificate(identity, never)).rejects.toMatchObject({
    code: 'WEFT1604',
    message: expect.stringContaining('UNAUTHENTICATED authentication failure'),
  });
});

it('verifies the authority by the roots file, and follows its rotation', async () => {
  const port = await startAuthority(nextRoot, 'localhost');
  const ca = createClient(port);
  await expect(ca.fetchCertificate(identity, never)).rejects.toMatchObject({ code: 'WEFT1604' });
  writeFileSync(join(directory, 'root.pem'), nextRoot.rootsPem);
  expect((await ca.fetchCertificate(identity, never)).rootsPem).toBe(nextRoot.rootsPem);
  writeFileSync(join(directory, 'root.pem'), '-----BEGIN CERTIFICATE-----\nhalf a fi');
  await ca.fetchCertificate(identity, never);
});

it('refuses a server with another name unless that is the alternative', async () => {
  const port = await startAuthority(root, 'istiod.istio-system.svc');
  await expect(createClient(port).fetchCertificate(identity, never)).rejects.toMatchObject({
    code: 'WEFT1604',
  });
  client?.close();
  const ca = createClient(port, { alternativeHostname: 'istiod.istio-system.svc' });
  await expect(ca.fetchCertificate(identity, never)).resolves.toMatchObject({ identity });
});

it('gives up when told to', async () => {
  const abort = new AbortController();
  const waiting = createClient(await startAuthority(root, 'localhost')).fetchCertificate(
    identity,
    abort.signal,
  );
  abort.abort();
  await expect(waiting).rejects.toMatchObject({ code: 'WEFT1604' });
});
