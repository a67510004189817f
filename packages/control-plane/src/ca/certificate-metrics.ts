import { Counter, Gauge, type PrometheusRegistry } from '@weft/telemetry';
import { X509Certificate } from 'node:crypto';
import type { CertificateAuthority } from '@weft/spiffe';

/** Istio's names, so that its dashboard shows data. */
export interface CertificateMetrics {
  readonly requests: Counter;
  readonly issued: Counter;
  readonly authenticationFailures: Counter;
  readonly unreadableRequests: Counter;
  readonly identityFailures: Counter;
  readonly signFailures: Counter;
}

export function createCertificateMetrics(registry: PrometheusRegistry): CertificateMetrics {
  const counter = (name: string, help: string): Counter =>
    new Counter({ name: `citadel_server_${name}`, help, registers: [registry] });
  return {
    requests: counter('csr_count', 'Certificate requests received'),
    issued: counter('success_cert_issuance_count', 'Certificates issued'),
    authenticationFailures: counter(
      'authentication_failure_count',
      'Requests whose caller was not authenticated',
    ),
    unreadableRequests: counter('csr_parsing_err_count', 'Requests whose CSR could not be read'),
    identityFailures: counter(
      'id_extraction_err_count',
      'Requests for an identity that the caller may not have',
    ),
    signFailures: counter('csr_sign_err_count', 'Requests that could not be signed'),
  };
}

export function registerAuthorityMetrics(
  registry: PrometheusRegistry,
  authority: CertificateAuthority,
): void {
  const seconds = (date: Date): number => Math.floor(date.getTime() / 1_000);
  const roots = authority.rootsPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const rootExpiry = Math.min(...roots.map((pem) => seconds(new Date(new X509Certificate(pem).validTo))));
  const gauge = (name: string, help: string, value: number): void =>
    new Gauge({ name: `citadel_server_${name}`, help, registers: [registry] }).set(value);
  gauge('root_cert_expiry_timestamp', 'When the first root certificate expires, Unix seconds', rootExpiry);
  gauge(
    'cert_chain_expiry_timestamp',
    'When the signing certificate expires, Unix seconds',
    seconds(authority.notAfter),
  );
}
