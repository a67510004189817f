import type { X509Certificate } from 'node:crypto';
import { WeftError } from '@weft/telemetry/errors';

declare const spiffeIdBrand: unique symbol;

/** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, checked. */
export type SpiffeId = string & { readonly [spiffeIdBrand]: true };

export interface WorkloadIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** The SPIFFE ID specification, §2.3. */
const MAX_LENGTH = 2_048;
const FORM = /^spiffe:\/\/([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/;

/** The identity's parts, or undefined for anything but exactly the five-part form. */
export function parseSpiffeId(text: string): WorkloadIdentity | undefined {
  const [, trustDomain, namespace, serviceAccount] = (isSpiffeId(text) && FORM.exec(text)) || [];
  if (trustDomain === undefined || namespace === undefined || serviceAccount === undefined) return undefined;
  return { trustDomain, namespace, serviceAccount };
}

export function isSpiffeId(text: string): text is SpiffeId {
  return text.length <= MAX_LENGTH && FORM.test(text);
}

/** @throws WEFT1601 when the text isn't a workload's SPIFFE identity */
export function toSpiffeId(text: string): SpiffeId {
  if (!isSpiffeId(text))
    throw new WeftError(
      'WEFT1601',
      `${JSON.stringify(text.slice(0, MAX_LENGTH))} is not a workload identity`,
    );
  return text;
}

/** @throws WEFT1601 when a part is empty or holds a slash */
export function formatSpiffeId({ trustDomain, namespace, serviceAccount }: WorkloadIdentity): SpiffeId {
  return toSpiffeId(`spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`);
}

/**
 * The identity that a certificate certifies: its only URI name, if that is a workload's SPIFFE identity. The SPIFFE
 * X.509 profile (§2) allows exactly one URI name. The caller has verified the chain.
 */
export function peerIdentity(certificate: Pick<X509Certificate, 'subjectAltName'>): SpiffeId | undefined {
  const names = certificate.subjectAltName;
  // Node quotes names that could be mistaken for the list's own syntax. No workload identity needs that, so such a
  // certificate is refused as a whole instead of being taken apart.
  if (names === undefined || names.includes('"')) return undefined;
  const uris = names.split(', ').filter((name) => name.startsWith('URI:'));
  const [uri] = uris;
  if (uri === undefined || uris.length > 1) return undefined;
  const text = uri.slice('URI:'.length);
  return isSpiffeId(text) ? text : undefined;
}
