import { CertificateAuthority, createKeyPair, privateKeyPem } from '@weft/spiffe';
import type { CertificatePair } from '../config/tls-context.ts';

/** A throw-away authority. */
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

  async issue(names: { readonly uriSans?: string[]; readonly dnsSans?: string[] }): Promise<CertificatePair> {
    const { publicKey, privateKey } = await createKeyPair();
    const { chainPem } = this.authority.sign({ publicKey, ttlMs: 3_600_000, ...names });
    return { chainPem, keyPem: privateKeyPem(privateKey) };
  }
}
