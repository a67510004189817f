import type { SupportTable } from '../support.ts';

const CONFIG = 'upstream/config/cluster-config.test.ts';
const DOWNSTREAM = 'network/downstream-tls.test.ts';
const FIELDS = 'field-support/tls-fields.test.ts';
const HBONE = 'upstream/hbone.test.ts';
const SECRETS = 'field-support/resource-checks.test.ts';

/** Transport sockets and secrets. */
export const tls: SupportTable = {
  'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer': {},
  'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport': {
    works: { [HBONE]: 'passthrough_metadata transport_socket' },
  },
  'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport.MetadataValueSource': {
    works: { [HBONE]: 'kind name' },
  },
  'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext': {
    works: { [CONFIG]: 'common_tls_context', [FIELDS]: 'sni' },
    ignored: { 'sessions are not resumed': 'max_session_keys' },
  },
  'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext': {
    works: { [DOWNSTREAM]: 'common_tls_context require_client_certificate' },
    ignored: { 'a context has one certificate': 'full_scan_certs_on_sni_mismatch' },
  },
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext': {
    works: {
      [CONFIG]: 'tls_params validation_context',
      [DOWNSTREAM]: 'alpn_protocols tls_certificate_sds_secret_configs',
      [HBONE]: 'combined_validation_context',
      [FIELDS]: 'tls_certificates validation_context_sds_secret_config',
    },
  },
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext': {
    works: { [HBONE]: 'default_validation_context validation_context_sds_secret_config' },
  },
  'envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig': { works: { [DOWNSTREAM]: 'name sds_config' } },
  'envoy.extensions.transport_sockets.tls.v3.TlsParameters': {
    works: {
      [CONFIG]: 'tls_minimum_protocol_version',
      [DOWNSTREAM]: 'tls_maximum_protocol_version',
      [FIELDS]: 'cipher_suites ecdh_curves signature_algorithms',
    },
    only: {
      tls_minimum_protocol_version: ['TLSv1_2', 'TLSv1_3'],
      tls_maximum_protocol_version: ['TLSv1_2', 'TLSv1_3'],
    },
  },
  'envoy.extensions.transport_sockets.tls.v3.TlsCertificate': {
    works: { [FIELDS]: 'certificate_chain private_key' },
  },
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext': {
    works: {
      [DOWNSTREAM]: 'trusted_ca',
      [CONFIG]: 'match_typed_subject_alt_names',
      [FIELDS]: `verify_certificate_hash verify_certificate_spki crl allow_expired_certificate
        match_subject_alt_names trust_chain_verification`,
    },
  },
  'envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher': {
    works: { [CONFIG]: 'san_type matcher' },
    only: { san_type: ['EMAIL', 'DNS', 'URI', 'IP_ADDRESS'] },
  },
  'envoy.extensions.transport_sockets.tls.v3.Secret': {
    works: { [SECRETS]: 'name tls_certificate validation_context generic_secret' },
  },
  'envoy.extensions.transport_sockets.tls.v3.GenericSecret': { works: { [SECRETS]: 'secret' } },
};
