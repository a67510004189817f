import { X509Certificate } from 'node:crypto';
import {
  CertificateAuthority,
  createKeyPair,
  privateKeyPem,
  toSpiffeId,
  type KeyUsage,
  type WorkloadCertificate,
  workloadCertificate,
} from '@weft/spiffe';

/** A throw-away mesh authority for tests. */
export class TestAuthority {
  private readonly authority: CertificateAuthority;

  private constructor(authority: CertificateAuthority) {
    this.authority = authority;
  }

  static async create(): Promise<TestAuthority> {
    // RSA keys take a second to make.
    const keyPem = privateKeyPem((await createKeyPair()).privateKey);
    const subject = { organizations: ['test.local'] };
    return new TestAuthority(await CertificateAuthority.createSelfSigned({ subject, keyPem }));
  }

  get rootsPem(): string {
    return this.authority.rootsPem;
  }

  async issue(
    identity: string,
    o: { readonly usages?: readonly KeyUsage[]; readonly ttlMs?: number } = {},
  ): Promise<WorkloadCertificate> {
    const { publicKey, privateKey } = await createKeyPair();
    const signed = this.authority.sign({
      publicKey,
      uriSans: [identity],
      ttlMs: o.ttlMs ?? 3_600_000,
      ...(o.usages === undefined ? {} : { usages: o.usages }),
    });
    return workloadCertificate(toSpiffeId(identity), privateKey, [signed.chainPem, this.authority.rootsPem]);
  }

  /** One that stands for other names than its owner says, as no authority of a mesh issues. */
  async issueWithNames(identity: string, uriSans: readonly string[]): Promise<WorkloadCertificate> {
    const proper = await this.issue(identity);
    const { publicKey, privateKey } = await createKeyPair();
    const { leafPem, chainPem } = this.authority.sign({ publicKey, uriSans, ttlMs: 3_600_000 });
    return { ...proper, keyPem: privateKeyPem(privateKey), chainPem, leaf: new X509Certificate(leafPem) };
  }
}
