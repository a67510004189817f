import { Counter, Gauge, type PrometheusRegistry } from '@weft/telemetry';
import { X509Certificate } from 'node:crypto';
import { certificateBlocks } from '@weft/spiffe';
import type { MeshAuthority } from './mesh-authority.ts';

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

/** Read when somebody asks: roots and signing certificate change while we run. */
export function registerAuthorityMetrics(
  registry: PrometheusRegistry,
  authority: Pick<MeshAuthority, 'rootsPem' | 'notAfter'>,
): void {
  const seconds = (date: Date): number => Math.floor(date.getTime() / 1_000);
  const firstRootExpiry = (): number =>
    Math.min(
      ...certificateBlocks(authority.rootsPem).map((pem) =>
        seconds(new Date(new X509Certificate(pem).validTo)),
      ),
    );
  const register = (name: string, help: string, read: () => number): void => {
    const gauge: Gauge = new Gauge({
      name: `citadel_server_${name}`,
      help,
      registers: [registry],
      collect: () => gauge.set(read()),
    });
  };
  register(
    'root_cert_expiry_timestamp',
    'When the first root certificate expires, Unix seconds',
    firstRootExpiry,
  );
  register('cert_chain_expiry_timestamp', 'When the signing certificate expires, Unix seconds', () =>
    seconds(authority.notAfter),
  );
}
