import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { CertificateAuthority, privateKeyPem, toSpiffeId } from '@weft/spiffe';
import type { Testbed } from '../testbed.ts';
import { TRUSTED_PREFIX } from './bench-path.ts';

/** Of certificates that have no other name in DNS: nginx looks for nothing else. */
export const SERVER_DNS_NAME = 'server.bench';
const generate = promisify(generateKeyPair);
const TTL_MS = 24 * 3_600_000;

export interface TlsFiles {
  readonly key: string;
  readonly chain: string;
  readonly roots: string;
}

/** Certificates with a SPIFFE ID, for proxies that read files. Workloads in a mesh have keys on P-256. */
export async function certificateFiles(
  testbed: Testbed,
  ca: CertificateAuthority,
  serviceAccount: string,
  namedCurve: 'P-256' | 'P-384' = 'P-256',
): Promise<TlsFiles> {
  const { publicKey, privateKey } = await generate('ec', { namedCurve });
  const { chainPem } = ca.sign({
    publicKey,
    uriSans: [toSpiffeId(identityOf(serviceAccount))],
    dnsSans: [SERVER_DNS_NAME],
    ttlMs: TTL_MS,
  });
  return {
    key: testbed.file(`${serviceAccount}.key`, privateKeyPem(privateKey)),
    chain: testbed.file(`${serviceAccount}.pem`, chainPem),
    roots: testbed.file(`${serviceAccount}-roots.pem`, ca.rootsPem),
  };
}

export function identityOf(serviceAccount: string): string {
  return `spiffe://${TRUSTED_PREFIX}sa/${serviceAccount}`;
}

export function createAuthority(): Promise<CertificateAuthority> {
  return CertificateAuthority.createSelfSigned({ subject: { organizations: ['bench'] } });
}
