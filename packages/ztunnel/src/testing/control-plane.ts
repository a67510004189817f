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

type WorkloadMessage = istio.workload.Workload.$Properties;
type ServiceMessage = istio.workload.Service.$Properties;
type PolicyMessage = istio.security.Authorization.$Properties;

const { IstioCertificateRequest, IstioCertificateResponse } = istio.v1.auth;

/** Workload discovery from memory and a certificate authority that believes everybody, over TLS. */
export class FakeControlPlane {
  readonly rootsPem: string;
  readonly port: number;
  readonly issued: string[] = [];
  /** The latest certificate of each identity. */
  readonly leaves = new Map<string, string>();
  /** Who asks in its own name, by address. */
  readonly ownIdentities = new Map<string, string>();
  private issuing: { readonly ca: CertificateAuthority; readonly rootsPem: string; readonly ttlMs: number };
  private readonly server: grpc.Server;
  private readonly discovery: DeltaServer<string>;
  private readonly addresses = new MemorySource(TypeUrl.address);
  private readonly policies = new MemorySource(TypeUrl.authorization);

  private constructor(server: grpc.Server, port: number, ca: CertificateAuthority) {
    this.server = server;
    this.port = port;
    this.rootsPem = ca.rootsPem;
    this.issuing = { ca, rootsPem: ca.rootsPem, ttlMs: 3_600_000 };
    this.discovery = new DeltaServer({
      types: [{ source: this.addresses }, { source: this.policies }],
      authenticate: () => Promise.resolve('anybody'),
      debounceMs: 10,
    });
    this.discovery.addTo(server);
    server.addService(certificateService, {
      createCertificate: (call: Call, callback: grpc.sendUnaryData<Buffer>) => {
        const { csr, metadata } = IstioCertificateRequest.decode(call.request);
        const caller = call.getPeer().replace(/:\d+$/, '');
        const impersonated = metadata?.fields?.['ImpersonatedIdentity']?.stringValue;
        const identity = impersonated ?? this.ownIdentities.get(caller) ?? '';
        this.issued.push(identity);
        const { publicKey } = verifyCsr(csr);
        const { ca: authority, rootsPem, ttlMs } = this.issuing;
        const { leafPem, intermediatesPem } = authority.sign({ publicKey, uriSans: [identity], ttlMs });
        this.leaves.set(identity, leafPem);
        const certChain = [leafPem, ...intermediatesPem, rootsPem];
        callback(null, Buffer.from(IstioCertificateResponse.encode({ certChain }).finish()));
      },
    });
  }

  /** @param ca the one of a control plane that ran before, whose certificates are to stay valid */
  static async start(ip: string, port: number, ca?: CertificateAuthority): Promise<FakeControlPlane> {
    const authority =
      ca ?? (await CertificateAuthority.createSelfSigned({ subject: { organizations: ['test'] } }));
    const { publicKey, privateKey } = await createKeyPair();
    const { chainPem } = authority.sign({
      publicKey,
      ipSans: [ip],
      dnsSans: ['localhost'],
      ttlMs: 3_600_000,
    });
    const server = new grpc.Server();
    const credentials = grpc.ServerCredentials.createSsl(null, [
      { private_key: Buffer.from(privateKeyPem(privateKey)), cert_chain: Buffer.from(chainPem) },
    ]);
    const bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`${ip}:${port}`, credentials, (error, actual) =>
        error ? reject(error) : resolve(actual),
      );
    });
    return new FakeControlPlane(server, bound, authority);
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

  setWorkload(workload: WorkloadMessage): void {
    const bytes = istio.workload.Address.encode({ workload }).finish();
    this.addresses.update({ upserted: [versionedResource(workload.uid ?? '', bytes)] });
  }

  removeWorkload(uid: string): void {
    this.addresses.update({ removed: [uid] });
  }

  setService(service: ServiceMessage): void {
    const bytes = istio.workload.Address.encode({ service }).finish();
    this.addresses.update({
      upserted: [versionedResource(`${service.namespace}/${service.hostname}`, bytes)],
    });
  }

  setPolicy(policy: PolicyMessage): void {
    const bytes = istio.security.Authorization.encode(policy).finish();
    this.policies.update({ upserted: [versionedResource(`${policy.namespace}/${policy.name}`, bytes)] });
  }

  removePolicy(name: string): void {
    this.policies.update({ removed: [name] });
  }

  stop(): void {
    this.discovery.close();
    this.server.forceShutdown();
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
