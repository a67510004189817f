import grpc from '@grpc/grpc-js';
import { CREATE_CERTIFICATE_METHOD, TypeUrl } from '@weft/api';
import { istio } from '@weft/api/workload';
import {
  CertificateAuthority,
  createKeyPair,
  privateKeyPem,
  toSpiffeId,
  verifyCsr,
  workloadCertificate,
  type WorkloadCertificate,
} from '@weft/spiffe';
import { DeltaServer, MemorySource, versionedResource } from '@weft/xds';
import { MeshAddresses } from './mesh-addresses.ts';

type PolicyMessage = istio.security.Authorization.$Properties;

const { IstioCertificateRequest, IstioCertificateResponse } = istio.v1.auth;

/** Workload discovery from memory and a certificate authority that believes everybody, over TLS. */
export class FakeControlPlane {
  readonly issued: string[] = [];
  /** The latest certificate of each identity. */
  readonly leaves = new Map<string, string>();
  /** Who asks in its own name, by address. */
  readonly ownIdentities = new Map<string, string>();
  private issuing: { readonly ca: CertificateAuthority; readonly rootsPem: string; readonly ttlMs: number };
  private readonly addresses = new MeshAddresses();
  private readonly policies = new MemorySource(TypeUrl.authorization);
  private running: { readonly server: grpc.Server; readonly discovery: DeltaServer<string> } | undefined;

  private constructor(ca: CertificateAuthority) {
    this.issuing = { ca, rootsPem: ca.rootsPem, ttlMs: 3_600_000 };
  }

  static async start(ip: string, port: number): Promise<FakeControlPlane> {
    const ca = await CertificateAuthority.createSelfSigned({ subject: { organizations: ['test'] } });
    const controlPlane = new FakeControlPlane(ca);
    await controlPlane.serve(ip, port, ca);
    return controlPlane;
  }

  get rootsPem(): string {
    return this.issuing.rootsPem;
  }

  /** Ends all connections, and serves by another authority from then on, which also issues the certificates. */
  async restart(ip: string, port: number, ca: CertificateAuthority): Promise<void> {
    this.stop();
    this.issueWith(ca, ca.rootsPem, this.issuing.ttlMs);
    await this.serve(ip, port, ca);
  }

  private async serve(ip: string, port: number, ca: CertificateAuthority): Promise<void> {
    const { publicKey, privateKey } = await createKeyPair();
    const names = { ipSans: [ip], dnsSans: ['localhost'] };
    const { chainPem } = ca.sign({ publicKey, ...names, ttlMs: 3_600_000 });
    const server = new grpc.Server();
    const discovery = new DeltaServer({
      types: [{ source: this.addresses }, { source: this.policies }],
      authenticate: () => Promise.resolve('anybody'),
      debounceMs: 10,
    });
    discovery.addTo(server);
    server.addService(certificateService, {
      createCertificate: (call: Call, callback: grpc.sendUnaryData<Buffer>) =>
        callback(null, this.createCertificate(call)),
    });
    const credentials = grpc.ServerCredentials.createSsl(null, [
      { private_key: Buffer.from(privateKeyPem(privateKey)), cert_chain: Buffer.from(chainPem) },
    ]);
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`${ip}:${port}`, credentials, (error) => (error ? reject(error) : resolve()));
    });
    this.running = { server, discovery };
  }

  private createCertificate(call: Call): Buffer {
    const { csr, metadata } = IstioCertificateRequest.decode(call.request);
    const caller = call.getPeer().replace(/:\d+$/, '');
    const impersonated = metadata?.fields?.['ImpersonatedIdentity']?.stringValue;
    const identity = impersonated ?? this.ownIdentities.get(caller) ?? '';
    this.issued.push(identity);
    const { publicKey } = verifyCsr(csr);
    const { ca, rootsPem, ttlMs } = this.issuing;
    const { leafPem, intermediatesPem } = ca.sign({ publicKey, uriSans: [identity], ttlMs });
    this.leaves.set(identity, leafPem);
    const certChain = [leafPem, ...intermediatesPem, rootsPem];
    return Buffer.from(IstioCertificateResponse.encode({ certChain }).finish());
  }

  /** Certificates from now on: whose they are, which roots go with them, and how long they live. */
  issueWith(ca: CertificateAuthority, rootsPem: string, ttlMs: number): void {
    this.issuing = { ca, rootsPem, ttlMs };
  }

  /** A certificate as a proxy gets it. */
  async certificate(identity: string): Promise<WorkloadCertificate> {
    const { publicKey, privateKey } = await createKeyPair();
    const { ca, rootsPem, ttlMs } = this.issuing;
    const { leafPem, intermediatesPem } = ca.sign({ publicKey, uriSans: [identity], ttlMs });
    return workloadCertificate(toSpiffeId(identity), privateKey, [leafPem, ...intermediatesPem, rootsPem]);
  }

  setWorkload(workload: istio.workload.Workload.$Properties): void {
    this.addresses.setWorkload(workload);
  }

  removeWorkload(uid: string): void {
    this.addresses.removeWorkload(uid);
  }

  setService(service: istio.workload.Service.$Properties): void {
    this.addresses.setService(service);
  }

  setPolicy(policy: PolicyMessage): void {
    const bytes = istio.security.Authorization.encode(policy).finish();
    this.policies.update({ upserted: [versionedResource(`${policy.namespace}/${policy.name}`, bytes)] });
  }

  removePolicy(name: string): void {
    this.policies.update({ removed: [name] });
  }

  stop(): void {
    this.running?.discovery.close();
    this.running?.server.forceShutdown();
  }
}

type Call = grpc.ServerUnaryCall<Buffer, Buffer>;
const keep = (bytes: Buffer): Buffer => bytes;
const certificateService = {
  createCertificate: {
    path: CREATE_CERTIFICATE_METHOD,
    requestStream: false,
    responseStream: false,
    requestSerialize: keep,
    requestDeserialize: keep,
    responseSerialize: keep,
    responseDeserialize: keep,
  },
};
