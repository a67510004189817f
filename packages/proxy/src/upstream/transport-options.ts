import type { FilterState, Metadata, MetadataStruct, UpstreamContext } from '../engine/types.ts';
import type { HttpConfig } from './config/http-options.ts';
import type { MetadataSource } from './config/transport-socket.ts';
import type { UpstreamTlsConfig } from './config/tls-context.ts';
import type { TlsHandshake } from './connect/tls-connect.ts';
import type { Host } from './host.ts';

/** Exact names, one of which the server's certificate must have: the identity of the workload behind a tunnel. */
export const SUBJECT_ALT_NAMES_FILTER_STATE = 'envoy.network.upstream_subject_alt_names';
export const SERVER_NAME_FILTER_STATE = 'envoy.network.upstream_server_name';
export const APPLICATION_PROTOCOLS_FILTER_STATE = 'envoy.network.application_protocols';

/** What a handshake says and demands, from the TLS context, the request and the filter state. */
export function tlsHandshake(
  config: UpstreamTlsConfig,
  http: HttpConfig | undefined,
  context: UpstreamContext,
  codecProtocols: readonly string[],
): TlsHandshake {
  const { filterState } = context.info;
  const names = listOf(filterState, SUBJECT_ALT_NAMES_FILTER_STATE);
  const autoName =
    http?.autoSni === true || http?.autoSanValidation === true ? serverNameOf(http, context) : undefined;
  const [override] = listOf(filterState, SERVER_NAME_FILTER_STATE) ?? [];
  const alpn = listOf(filterState, APPLICATION_PROTOCOLS_FILTER_STATE);
  return {
    sni: override ?? (http?.autoSni === true ? autoName : undefined) ?? config.sni,
    alpnProtocols: alpn ?? (config.alpnProtocols.length > 0 ? config.alpnProtocols : codecProtocols),
    expectation: { names, serverName: http?.autoSanValidation === true ? autoName : undefined },
  };
}

/** Connections whose handshakes differ must not be shared. */
export function handshakeKey({ sni, alpnProtocols, expectation }: TlsHandshake): string {
  return JSON.stringify([sni, alpnProtocols, expectation.names, expectation.serverName]);
}

/** What goes along to an internal listener. */
export function passthroughMetadata(
  sources: readonly MetadataSource[],
  host: Host,
  cluster: Metadata,
  context: UpstreamContext,
): Metadata {
  const result: Metadata = new Map();
  for (const { kind, namespace } of sources) {
    const found = metadataOf(kind, host, cluster, context)?.get(namespace);
    if (found !== undefined) result.set(namespace, { ...result.get(namespace), ...found });
  }
  return result;
}

/** Of what differs between requests to the same host; hosts and clusters have pools of their own. */
export function passthroughKey(sources: readonly MetadataSource[], context: UpstreamContext): string {
  const values: (MetadataStruct | undefined)[] = [];
  for (const { kind, namespace } of sources) {
    if (kind === 'request') values.push(context.info.dynamicMetadata.get(namespace));
    else if (kind === 'route') values.push(context.info.route?.metadata?.get(namespace));
  }
  return values.length === 0 ? '' : JSON.stringify(values);
}

function metadataOf(
  kind: MetadataSource['kind'],
  host: Host,
  cluster: Metadata,
  { info }: UpstreamContext,
): Metadata | undefined {
  switch (kind) {
    case 'host':
      return host.metadata;
    case 'cluster':
      return cluster;
    case 'request':
      return info.dynamicMetadata;
    case 'route':
      return info.route?.metadata;
  }
}

/** Filter state that holds one or several texts: an array, or a text separated by commas. Empty counts as absent. */
function listOf(filterState: FilterState, key: string): readonly string[] | undefined {
  const value = filterState.get(key);
  if (value === undefined) return undefined;
  const parts: unknown[] = Array.isArray(value) ? value : (filterState.text(key) ?? '').split(',');
  const texts = parts.map((part) => String(part).trim()).filter((part) => part !== '');
  return texts.length === 0 ? undefined : texts;
}

function serverNameOf(http: HttpConfig, { info }: UpstreamContext): string | undefined {
  const value = info.requestHeaders?.get(http.overrideAutoSniHeader) ?? info.requestHeaders?.authority;
  if (value === undefined || value === '') return undefined;
  const host = value.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return host.toLowerCase();
}
