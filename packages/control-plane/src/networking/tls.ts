import { envoy } from '@weft/api/envoy';
import { NO_LIMIT, extension } from './any.ts';
import { Name } from './names.ts';

type TransportSocket = envoy.config.core.v3.TransportSocket.$Properties;
type SecretConfig = envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig.$Properties;
type CommonTlsContext = envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.$Properties;

const tls = envoy.extensions.transport_sockets.tls.v3;
const { ApiType } = envoy.config.core.v3.ApiConfigSource;
const { ApiVersion } = envoy.config.core.v3;

/** Of whoever tunnels to us: any identity of the mesh. What each may do is a question of policy. */
export function tunnelServerTls(trustDomains: readonly string[]): TransportSocket {
  return extension('tls', tls.DownstreamTlsContext, {
    commonTlsContext: tunnelTls(trustDomains),
    requireClientCertificate: { value: true },
  });
}

/** Towards an endpoint whose identity filter state decides; without it, any of the mesh. */
export function tunnelClientTls(trustDomains: readonly string[]): TransportSocket {
  return extension('tls', tls.UpstreamTlsContext, { commonTlsContext: tunnelTls(trustDomains) });
}

export function rawBuffer(): TransportSocket {
  return extension(
    'envoy.transport_sockets.raw_buffer',
    envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer,
    {},
  );
}

function tunnelTls(trustDomains: readonly string[]): CommonTlsContext {
  const { TlsProtocol } = tls.TlsParameters;
  return {
    tlsParams: {
      tlsMinimumProtocolVersion: TlsProtocol.TLSv1_3,
      tlsMaximumProtocolVersion: TlsProtocol.TLSv1_3,
    },
    alpnProtocols: ['h2'],
    tlsCertificateSdsSecretConfigs: [secret('default')],
    combinedValidationContext: {
      defaultValidationContext: {
        matchTypedSubjectAltNames: trustDomains.map((trustDomain) => ({
          sanType: tls.SubjectAltNameMatcher.SanType.URI,
          matcher: { prefix: `spiffe://${trustDomain}/` },
        })),
      },
      validationContextSdsSecretConfig: secret('ROOTCA'),
    },
  };
}

/** Served by the proxy's own process, which alone has the key. */
function secret(name: string): SecretConfig {
  return {
    name,
    sdsConfig: {
      apiConfigSource: {
        apiType: ApiType.GRPC,
        transportApiVersion: ApiVersion.V3,
        setNodeOnFirstMessageOnly: true,
        grpcServices: [{ envoyGrpc: { clusterName: Name.sdsCluster } }],
      },
      initialFetchTimeout: NO_LIMIT,
      resourceApiVersion: ApiVersion.V3,
    },
  };
}
