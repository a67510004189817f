import type { ErrorCodeTable } from '../errors.ts';

/** WEFT16xx. */
export const certificateErrors = {
  WEFT1601: {
    layer: 'certificate',
    title: 'A text is not the SPIFFE identity of a workload',
    next: 'Use the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>.',
  },
  WEFT1602: {
    layer: 'certificate',
    title: 'A certificate signing request cannot be accepted',
    next: 'Send one PKCS#10 request as PEM, signed with its own RSA (2048 bits or more) or P-256/P-384 key.',
  },
  WEFT1603: {
    layer: 'certificate',
    title: 'The certificate authority cannot be used',
    next: 'Check that certificate, key, chain and root in the CA secret belong together and have not expired.',
  },
  WEFT1604: {
    layer: 'certificate',
    title: 'The certificate authority did not issue a certificate',
    next: 'Check that the control plane is reachable and ready; its log says why it refused.',
  },
  WEFT1605: {
    layer: 'certificate',
    title: 'The certificate authority answered with something other than what was asked for',
    next: 'Check that the CA address is the mesh control plane, and that its version is supported.',
  },
  WEFT1606: {
    layer: 'certificate',
    title: 'A certificate is no longer kept for the identity',
    next: 'Nothing to do if the last pod with this identity has just gone; else report it.',
  },
  WEFT1607: {
    layer: 'certificate',
    title: 'More identities than this process keeps certificates for',
    next: 'Spread the pods over more nodes, or use fewer service accounts per node.',
  },
  WEFT1608: {
    layer: 'certificate',
    title: 'The certificate of a peer, or of an authority above it, has been revoked, or nobody can tell',
    next: 'If the peer is legitimate, have its certificate issued anew; else find out who used it.',
  },
  WEFT1609: {
    layer: 'certificate',
    title: 'The certificate revocation lists cannot be used',
    next: 'Put complete lists in PEM or one in DER into the file of CRL_PATH; the last good ones stay in force.',
  },
} as const satisfies ErrorCodeTable;
