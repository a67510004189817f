import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { constants } from 'node:crypto';
import type { WorkloadCertificate } from '@weft/spiffe';

/** Rust ztunnel's suites; ChaCha20 isn't among them. */
const SUITES = 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256';
const TLS12_SUITES =
  'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256';
const CLASSIC_GROUPS = 'X25519:P-256:P-384';
export const POST_QUANTUM_GROUP = 'X25519MLKEM768';
export const ALPN = 'h2';

export interface TlsSettings {
  /** TLS 1.2 is taken, too. */
  readonly tls12?: boolean;
  /** Only key exchanges that withstand quantum computers; see `hasPostQuantumGroup`. */
  readonly postQuantumOnly?: boolean;
}

/** What both sides agree on: 1.3 only unless told. */
export interface TlsProfile {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** Of TLS 1.3. */
  readonly suites: string;
  /** Of TLS 1.2. */
  readonly ciphers: string;
  readonly groups: string;
}

export function tlsProfile({ tls12 = false, postQuantumOnly = false }: TlsSettings = {}): TlsProfile {
  return {
    // TLS 1.2 knows no such key exchange.
    minVersion: tls12 && !postQuantumOnly ? 'TLSv1.2' : 'TLSv1.3',
    suites: SUITES,
    ciphers: TLS12_SUITES,
    groups: postQuantumOnly ? POST_QUANTUM_GROUP : keyExchangeGroups(),
  };
}

/** The same for node:tls. No tickets, so that every connection proves its certificate. */
export function tlsParameters(
  certificate: WorkloadCertificate,
  settings: TlsSettings = {},
): SecureContextOptions {
  const { minVersion, suites, ciphers, groups } = tlsProfile(settings);
  return {
    key: certificate.keyPem,
    cert: certificate.chainPem,
    ca: certificate.rootsPem,
    minVersion,
    maxVersion: 'TLSv1.3',
    ciphers: settings.tls12 === true ? `${suites}:${ciphers}` : suites,
    ecdhCurve: groups,
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  };
}

/** One context a certificate: it costs 0.4 to 1.5 ms and 35 KB. Rotation makes a new certificate, so a new context. */
export class ClientContexts {
  private readonly settings: TlsSettings | undefined;
  private readonly contexts = new WeakMap<WorkloadCertificate, SecureContext>();

  constructor(settings?: TlsSettings) {
    this.settings = settings;
  }

  of(certificate: WorkloadCertificate): SecureContext {
    let context = this.contexts.get(certificate);
    if (context === undefined) {
      context = createSecureContext(tlsParameters(certificate, this.settings));
      this.contexts.set(certificate, context);
    }
    return context;
  }
}

/** Whether this Node's OpenSSL (from 3.5) has the hybrid of X25519 and ML-KEM-768. */
export function hasPostQuantumGroup(): boolean {
  const [major = 0, minor = 0] = process.versions.openssl.split('.').map(Number);
  return major > 3 || (major === 3 && minor >= 5);
}

/** OpenSSL refuses a whole list for one unknown name. The hybrid comes last, as in ztunnel. */
function keyExchangeGroups(): string {
  return hasPostQuantumGroup() ? `${CLASSIC_GROUPS}:${POST_QUANTUM_GROUP}` : CLASSIC_GROUPS;
}
