import { envoy } from '@weft/api/envoy';
import { at, invalid } from '../../matching/index.ts';
import { compileUpstreamTls, type UpstreamTlsConfig } from './tls-context.ts';

type Message = envoy.config.core.v3.TransportSocket.$Properties;

/** How bytes travel to a host, above TCP or the pipe of an internal listener. */
export type TransportSocketConfig =
  | { readonly kind: 'raw' }
  | { readonly kind: 'tls'; readonly tls: UpstreamTlsConfig }
  | {
      /** Metadata and shared filter state go along to the internal listener. */
      readonly kind: 'internal';
      readonly passthrough: readonly MetadataSource[];
      readonly inner: Exclude<TransportSocketConfig, { kind: 'internal' }>;
    };

export interface MetadataSource {
  readonly kind: 'host' | 'cluster' | 'request' | 'route';
  readonly namespace: string;
}

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';
const RAW = 'type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer';
const INTERNAL =
  'type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport';

export function compileTransportSocket(message: Message | null | undefined): TransportSocketConfig {
  const any = message?.typedConfig;
  if (!any) {
    if (message && message.name !== 'envoy.transport_sockets.raw_buffer')
      return invalid('is required', 'typed_config');
    return { kind: 'raw' };
  }
  const bytes = any.value ?? new Uint8Array();
  return at('typed_config', () => {
    switch (any.type_url) {
      case RAW:
        return { kind: 'raw' };
      case TLS:
        return { kind: 'tls', tls: compileUpstreamTls(bytes) };
      case INTERNAL:
        return internalUpstream(bytes);
      default:
        return invalid(`no transport socket of type ${any.type_url ?? ''} is registered`);
    }
  });
}

function internalUpstream(bytes: Uint8Array): TransportSocketConfig {
  const message =
    envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport.decode(bytes);
  const inner = at('transport_socket', () => compileTransportSocket(message.transportSocket));
  if (inner.kind === 'internal') return invalid('cannot be another internal_upstream', 'transport_socket');
  const passthrough = (message.passthroughMetadata ?? []).map((source, i): MetadataSource => {
    const { kind } = source.kind ?? {};
    if (!kind) return invalid('is required', `passthrough_metadata[${i}].kind`);
    return { kind, namespace: source.name ?? '' };
  });
  return { kind: 'internal', passthrough, inner };
}
