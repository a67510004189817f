import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { WeftError } from '@weft/telemetry';
import { peerIdentity, type SpiffeId } from './identity.ts';
import { privateKeyPem } from './keys.ts';
import { certificateBlocks } from './pem.ts';

/** What a workload proves its identity with, and what it trusts. Immutable: a rotation makes a new one. */
export interface WorkloadCertificate {
  readonly identity: SpiffeId;
  readonly keyPem: string;
  /** Leaf, then intermediates. */
  readonly chainPem: string;
  /** One or more roots. */
  readonly rootsPem: string;
  readonly leaf: X509Certificate;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * From the answer of `CreateCertificate`: leaf first, root bundle last, one intermediate per element in between.
 * @throws WEFT1605 when it isn't a certificate of this identity for this key
 */
export function workloadCertificate(
  identity: SpiffeId,
  key: KeyObject | string,
  certChain: readonly string[],
): WorkloadCertificate {
  const rootsPem = certChain.at(-1);
  if (certChain.length < 2 || rootsPem === undefined) {
    throw new WeftError(
      'WEFT1605',
      `expected leaf and root for ${identity}, got ${certChain.length} certificates`,
    );
  }
  const chain = certChain.slice(0, -1).flatMap((pem) => certificateBlocks(pem));
  const roots = certificateBlocks(rootsPem);
  const [leafPem] = chain;
  if (leafPem === undefined || roots.length === 0) {
    throw new WeftError('WEFT1605', `the answer for ${identity} holds no PEM certificates`);
  }
  let leaf: X509Certificate;
  let matches: boolean;
  try {
    leaf = new X509Certificate(leafPem);
    matches = leaf.checkPrivateKey(typeof key === 'string' ? createPrivateKey(key) : key);
  } catch (error) {
    throw new WeftError('WEFT1605', `the certificate for ${identity} cannot be read`, { cause: error });
  }
  const certified = peerIdentity(leaf);
  if (certified !== identity) {
    throw new WeftError(
      'WEFT1605',
      `asked for ${identity}, got a certificate of ${certified ?? 'no identity'}`,
    );
  }
  if (!matches) throw new WeftError('WEFT1605', `the certificate for ${identity} is for another key`);
  return {
    identity,
    keyPem: typeof key === 'string' ? key : privateKeyPem(key),
    chainPem: chain.join(''),
    rootsPem: roots.join(''),
    leaf,
    notBefore: new Date(leaf.validFrom),
    notAfter: new Date(leaf.validTo),
  };
}
