import {
  CertificateAuthority,
  createKeyPair,
  IstioCaClient,
  privateKeyPem,
  workloadCertificate,
  type CaClient,
  type SpiffeId,
  type WorkloadCertificate,
} from '@weft/spiffe';
import { WeftError } from '@weft/telemetry';
import { readRoots, readToken, type Config } from '../config.ts';

/** The certificate authority that the configuration names. */
export function caClient(config: Config): CaClient {
  const { ca, clusterId, secretTtlMs } = config;
  const { address, alternativeHostname, headers } = ca;
  if (config.fakeCa) return new InProcessAuthority(secretTtlMs);
  if (address === undefined) {
    return { fetchCertificate: () => Promise.reject(new WeftError('WEFT1318', 'CA_ADDRESS is empty')) };
  }
  return new IstioCaClient({
    address,
    readRoots: () => readRoots(ca.root),
    alternativeHostname,
    ...(ca.token.kind === 'none' ? {} : { readToken: () => readToken(ca.token) ?? '' }),
    clusterId,
    headers,
    ttlSeconds: Math.round(secretTtlMs / 1000),
    impersonate: config.mode.kind === 'shared',
  });
}

/** FAKE_CA: a root of this process alone, for trying out one proxy without a control plane. */
class InProcessAuthority implements CaClient {
  private readonly ttlMs: number;
  private authority: Promise<CertificateAuthority> | undefined;

  constructor(ttlMs: number) {
    this.ttlMs = ttlMs;
  }

  async fetchCertificate(identity: SpiffeId): Promise<WorkloadCertificate> {
    this.authority ??= createAuthority();
    const authority = await this.authority;
    const { publicKey, privateKey } = await createKeyPair();
    const { leafPem } = authority.sign({ publicKey, uriSans: [identity], ttlMs: this.ttlMs });
    return workloadCertificate(identity, privateKey, [leafPem, authority.rootsPem]);
  }
}

async function createAuthority(): Promise<CertificateAuthority> {
  const keyPem = privateKeyPem((await createKeyPair()).privateKey);
  return CertificateAuthority.createSelfSigned({ subject: { commonName: 'FAKE_CA' }, keyPem });
}
