import { readFileSync } from 'node:fs';
import { envoy } from '@weft/api/envoy';
import type { SecretReference } from '../../engine/types.ts';
import { at, invalid } from '../../matching/index.ts';
import { compileStringMatcher, type StringPredicate } from '../../matching/index.ts';

const tls = envoy.extensions.transport_sockets.tls.v3;
const { TlsProtocol } = tls.TlsParameters;
const { SanType } = tls.SubjectAltNameMatcher;
type CommonTlsContext = envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.$Properties;
type ValidationMessage = envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.$Properties;
type DataSource = envoy.config.core.v3.DataSource.$Properties;

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';
export interface CertificatePair {
  readonly chainPem: string;
  readonly keyPem: string;
}

/** Which name of a certificate must look how. */
export interface SanMatcher {
  readonly type: 'uri' | 'dns' | 'email' | 'ip';
  readonly matches: StringPredicate;
}

/** A CertificateValidationContext. Without `trustedCaPem` nothing is verified but the hashes, if any. */
export interface CertificateValidation {
  readonly trustedCaPem: string | undefined;
  readonly crlPem: string | undefined;
  /** One match suffices. */
  readonly sanMatchers: readonly SanMatcher[];
  /** SHA-256 of the certificate, lower-case hex; of the public key, base64. One match suffices. */
  readonly certificateHashes: readonly string[];
  readonly publicKeyHashes: readonly string[];
  readonly allowExpired: boolean;
  readonly acceptUntrusted: boolean;
}

export interface UpstreamTlsConfig {
  readonly sni: string;
  readonly alpnProtocols: readonly string[];
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  readonly ciphers: string | undefined;
  readonly ecdhCurves: string | undefined;
  readonly signatureAlgorithms: string | undefined;
  /** What is presented when the server asks. */
  readonly certificate: { readonly inline: CertificatePair } | { readonly sds: SecretReference } | undefined;
  /** `base` as bytes: a secret is merged into it. */
  readonly validation:
    | { readonly base: ValidationMessage | undefined; readonly sds: SecretReference | undefined }
    | undefined;
}

const CLIENT_DEFAULT_VERSION: TlsVersion = 'TLSv1.2';

/** @throws InvalidValue */
export function compileUpstreamTls(bytes: Uint8Array): UpstreamTlsConfig {
  const message = tls.UpstreamTlsContext.decode(bytes);
  if (message.allowRenegotiation === true) invalid('renegotiation is not supported', 'allow_renegotiation');
  const common = message.commonTlsContext ?? {};
  return at('common_tls_context', () => {
    const params = common.tlsParams ?? {};
    const list = (values: readonly string[] | null | undefined): string | undefined =>
      values === null || values === undefined || values.length === 0 ? undefined : values.join(':');
    const minVersion = version(params.tlsMinimumProtocolVersion ?? 0, 'TLSv1.2');
    const maxVersion = version(params.tlsMaximumProtocolVersion ?? 0, CLIENT_DEFAULT_VERSION);
    if (minVersion > maxVersion)
      invalid('the minimum is above the maximum (client default TLSv1_2)', 'tls_params');
    return {
      sni: message.sni ?? '',
      alpnProtocols: common.alpnProtocols ?? [],
      minVersion,
      maxVersion,
      ciphers: list(params.cipherSuites?.flatMap((suite) => suite.replace(/[[\]]/g, '').split('|'))),
      ecdhCurves: list(params.ecdhCurves),
      signatureAlgorithms: list(params.signatureAlgorithms),
      certificate: certificateOf(common),
      validation: validationOf(common),
    };
  });
}

/** @throws InvalidValue */
export function compileValidation(message: ValidationMessage): CertificateValidation {
  if (message.systemRootCerts != null) invalid('system roots are not supported', 'system_root_certs');
  if (message.customValidatorConfig != null) {
    invalid('custom validators are not supported (SPIFFE bundles come by ROOTCA)', 'custom_validator_config');
  }
  const trustedCaPem = at('trusted_ca', () => dataSourceText(message.trustedCa));
  const sanMatchers = (message.matchTypedSubjectAltNames ?? []).map((m, i) =>
    at(`match_typed_subject_alt_names[${i}]`, () => sanMatcher(m)),
  );
  const anyType = (message.matchSubjectAltNames ?? []).flatMap((m, i) => {
    const matches = at(`match_subject_alt_names[${i}]`, () => compileStringMatcher(m));
    return (['uri', 'dns', 'email', 'ip'] as const).map((type) => ({ type, matches }));
  });
  return {
    trustedCaPem,
    crlPem: at('crl', () => dataSourceText(message.crl)),
    sanMatchers: [...sanMatchers, ...anyType],
    certificateHashes: (message.verifyCertificateHash ?? []).map((h) => h.replaceAll(':', '').toLowerCase()),
    publicKeyHashes: message.verifyCertificateSpki ?? [],
    allowExpired: message.allowExpiredCertificate ?? false,
    acceptUntrusted:
      message.trustChainVerification ===
      tls.CertificateValidationContext.TrustChainVerification.ACCEPT_UNTRUSTED,
  };
}

/** The context with a secret merged in: lists are joined, single values of the secret win. */
export function mergeValidation(base: ValidationMessage, secret: ValidationMessage): ValidationMessage {
  const merged: ValidationMessage = { ...base };
  for (const [key, value] of Object.entries(secret)) {
    if (value === null || value === undefined) continue;
    // The keys of one message type; repeated fields are arrays in both.
    const name = key as keyof ValidationMessage;
    const own = base[name];
    Object.assign(merged, {
      [name]: Array.isArray(own) && Array.isArray(value) ? [...own, ...value] : value,
    });
  }
  return merged;
}

export function dataSourceText(source: DataSource | null | undefined): string | undefined {
  switch (source?.specifier) {
    case 'inlineString':
      return source.inlineString ?? '';
    case 'inlineBytes':
      return Buffer.from(source.inlineBytes ?? []).toString();
    case 'filename': {
      const path = source.filename ?? '';
      try {
        return readFileSync(path, 'utf8');
      } catch (error) {
        return invalid(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    case 'environmentVariable':
      return (
        process.env[source.environmentVariable ?? ''] ?? invalid(`${source.environmentVariable} is not set`)
      );
    default:
      return undefined;
  }
}

function certificateOf(common: CommonTlsContext): UpstreamTlsConfig['certificate'] {
  const [sds, moreSds] = common.tlsCertificateSdsSecretConfigs ?? [];
  const [inline, moreInline] = common.tlsCertificates ?? [];
  if (moreSds !== undefined || moreInline !== undefined) {
    invalid('one client certificate at most', 'tls_certificates');
  }
  if (sds !== undefined) return { sds: secretReference(sds) };
  if (inline === undefined) return undefined;
  return at('tls_certificates[0]', () => ({
    inline: {
      chainPem: dataSourceText(inline.certificateChain) ?? invalid('is required', 'certificate_chain'),
      keyPem: dataSourceText(inline.privateKey) ?? invalid('is required', 'private_key'),
    },
  }));
}

function validationOf(common: CommonTlsContext): UpstreamTlsConfig['validation'] {
  const checked = (
    message: ValidationMessage,
    path: string,
    completedBySecret: boolean,
  ): ValidationMessage => {
    const { trustedCaPem, sanMatchers } = at(path, () => compileValidation(message));
    if (sanMatchers.length > 0 && trustedCaPem === undefined && !completedBySecret) {
      invalid('SAN matchers need trusted_ca', path);
    }
    return message;
  };
  switch (common.validationContextType) {
    case 'validationContext':
      return { base: checked(common.validationContext ?? {}, 'validation_context', false), sds: undefined };
    case 'validationContextSdsSecretConfig':
      return { base: undefined, sds: secretReference(common.validationContextSdsSecretConfig ?? {}) };
    case 'combinedValidationContext': {
      const combined = common.combinedValidationContext ?? {};
      return {
        base: checked(
          combined.defaultValidationContext ?? {},
          'combined_validation_context.default_validation_context',
          true,
        ),
        sds: secretReference(combined.validationContextSdsSecretConfig ?? {}),
      };
    }
    case undefined:
      return undefined;
    default:
      return invalid(`${common.validationContextType} is not supported`);
  }
}

function secretReference(
  config: envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig.$Properties,
): SecretReference {
  const name = config.name ?? '';
  if (name === '') return invalid('a secret needs a name');
  if (!config.sdsConfig) return { name };
  return { name, sdsConfig: envoy.config.core.v3.ConfigSource.encode(config.sdsConfig).finish() };
}

function sanMatcher(
  m: envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher.$Properties,
): SanMatcher {
  const matches = at('matcher', () => compileStringMatcher(m.matcher ?? {}));
  switch (m.sanType) {
    case SanType.URI:
      return { type: 'uri', matches };
    case SanType.DNS:
      return { type: 'dns', matches };
    case SanType.EMAIL:
      return { type: 'email', matches };
    case SanType.IP_ADDRESS:
      return { type: 'ip', matches };
    default:
      return invalid('must be EMAIL, DNS, URI or IP_ADDRESS', 'san_type');
  }
}

function version(value: number, auto: TlsVersion): TlsVersion {
  switch (value) {
    case TlsProtocol.TLS_AUTO:
      return auto;
    case TlsProtocol.TLSv1_2:
      return 'TLSv1.2';
    case TlsProtocol.TLSv1_3:
      return 'TLSv1.3';
    default:
      return invalid('versions below TLSv1_2 are not supported', 'tls_params');
  }
}
