import {
  CertificateAuthority,
  createKeyPair,
  privateKeyPem,
  toSpiffeId,
  workloadCertificate,
  type WorkloadCertificate,
} from '@weft/spiffe';
import { envoy } from '@weft/api/envoy';
import type { SecretServer } from '../engine/embedding.ts';
import type { Secret } from '../engine/types.ts';

/** A throw-away authority of a mesh, for tests. */
export class MeshIdentities {
  private readonly authority: CertificateAuthority;

  private constructor(authority: CertificateAuthority) {
    this.authority = authority;
  }

  static async create(): Promise<MeshIdentities> {
    // RSA keys take a second to make.
    const keyPem = privateKeyPem((await createKeyPair()).privateKey);
    const subject = { organizations: ['test.local'] };
    return new MeshIdentities(await CertificateAuthority.createSelfSigned({ subject, keyPem }));
  }

  async issue(identity: string): Promise<WorkloadCertificate> {
    const { publicKey, privateKey } = await createKeyPair();
    const { chainPem } = this.authority.sign({ publicKey, uriSans: [identity], ttlMs: 3_600_000 });
    return workloadCertificate(toSpiffeId(identity), privateKey, [chainPem, this.authority.rootsPem]);
  }

  /** `default` and `ROOTCA`, as a waypoint's process serves them. */
  secretServer(certificate: WorkloadCertificate): SecretServer {
    const { CertificateValidationContext } = envoy.extensions.transport_sockets.tls.v3;
    const secrets: Readonly<Record<string, Secret>> = {
      default: { kind: 'certificate', chainPem: certificate.chainPem, keyPem: certificate.keyPem },
      ROOTCA: {
        kind: 'validation',
        context: CertificateValidationContext.encode({
          trustedCa: { specifier: 'inlineString', inlineString: certificate.rootsPem },
        }).finish(),
      },
    };
    return {
      watch: (name, onChange) => {
        const secret = secrets[name];
        if (secret !== undefined) queueMicrotask(() => onChange(secret));
        return () => undefined;
      },
    };
  }
}
