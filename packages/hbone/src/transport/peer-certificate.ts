import type { X509Certificate } from 'node:crypto';
import {
  isSpiffeId,
  parseSpiffeId,
  type SpiffeId,
  type WorkloadCertificate,
} from '@weft/spiffe/verification';
import { WeftError } from '@weft/telemetry/errors';

/**
 * The URI names of a certificate. A certificate with a name that Node has to quote (it could be mistaken for the
 * syntax of the list, CVE-2021-44532) has none: no workload identity needs quoting.
 */
export function uriNames(certificate: Pick<X509Certificate, 'subjectAltName'>): readonly string[] {
  const names = certificate.subjectAltName;
  if (names === undefined || names.includes('"')) return [];
  return names
    .split(', ')
    .filter((name) => name.startsWith('URI:'))
    .map((name) => name.slice('URI:'.length));
}

/**
 * The URI names that a peer is judged by: none of a certificate with several, which the SPIFFE profile (X509-SVID §2)
 * has refused as a whole, as nobody could say which of them it stands for.
 */
export function certifiedNames(certificate: Pick<X509Certificate, 'subjectAltName'>): readonly string[] {
  const names = uriNames(certificate);
  return names.length === 1 ? names : [];
}

/** The first URI name that is a workload's identity, as ztunnel takes it. The chain was verified. */
export function workloadIdentity(names: readonly string[]): SpiffeId | undefined {
  return names.find(isSpiffeId);
}

/**
 * The server's check of a client, whose chain was verified: one of its SPIFFE names is of the server's own trust domain;
 * WEFT1202 if not.
 */
export function refuseOtherTrustDomain(
  client: X509Certificate | undefined,
  own: WorkloadCertificate,
  clientName: string,
): WeftError | undefined {
  const trustDomain = parseSpiffeId(own.identity)?.trustDomain ?? '';
  const names = client === undefined ? [] : certifiedNames(client);
  if (names.some((name) => parseSpiffeId(name)?.trustDomain === trustDomain)) return undefined;
  return new WeftError(
    'WEFT1202',
    `${clientName} has [${names.join(', ')}], not trust domain ${trustDomain}`,
  );
}
