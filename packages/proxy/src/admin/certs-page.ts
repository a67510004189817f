import { X509Certificate } from 'node:crypto';
import type { CertificateStatus } from './sources.ts';

/** `/certs`: `envoy.admin.v3.Certificates`. */
export function certsJson(certificates: Iterable<CertificateStatus>, nowMs: number): object {
  return {
    certificates: [...certificates].map(({ name, chainPem, caPem }) => ({
      ca_cert: caPem === undefined ? [] : pemBlocks(caPem).map((pem) => details(name, pem, nowMs)),
      cert_chain: pemBlocks(chainPem).map((pem) => details(name, pem, nowMs)),
    })),
  };
}

function pemBlocks(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

function details(name: string, pem: string, nowMs: number): object {
  try {
    const certificate = new X509Certificate(pem);
    const expiresMs = Date.parse(certificate.validTo);
    return {
      path: name,
      serial_number: certificate.serialNumber.toLowerCase(),
      subject_alt_names: (certificate.subjectAltName ?? '')
        .split(', ')
        .filter((san) => san !== '')
        .map(subjectAltName),
      days_until_expiration: String(Math.max(Math.floor((expiresMs - nowMs) / 86_400_000), 0)),
      valid_from: new Date(certificate.validFrom).toISOString(),
      expiration_time: new Date(expiresMs).toISOString(),
    };
  } catch (error) {
    return { path: name, error: String(error) };
  }
}

function subjectAltName(text: string): object {
  const [kind = '', value = ''] = text.split(/:(.*)/s);
  if (kind === 'URI') return { uri: value };
  return kind === 'DNS' ? { dns: value } : { ip_address: value };
}
