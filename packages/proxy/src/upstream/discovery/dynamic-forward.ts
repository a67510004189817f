import { isIP } from 'node:net';
import type { UpstreamContext } from '../../engine/types.ts';
import type { AddressOf } from './on-demand-hosts.ts';

export const DYNAMIC_HOST_FILTER_STATE = 'envoy.upstream.dynamic_host';
export const DYNAMIC_PORT_FILTER_STATE = 'envoy.upstream.dynamic_port';

/**
 * Where the client says: filter state, the authority of a request, or the server name of a TLS handshake. The name is
 * looked up with each connection.
 */
export function dynamicDestination({ defaultPort }: { readonly defaultPort: number }): AddressOf {
  return (context) => {
    const named = parseAuthority(authorityOf(context));
    if (named === undefined) return undefined;
    const { filterState } = context.info;
    const port = named.port ?? Number(filterState.text(DYNAMIC_PORT_FILTER_STATE) ?? defaultPort);
    return isPort(port) ? { kind: 'ip', ip: named.host, port } : undefined;
  };
}

function authorityOf({ info }: UpstreamContext): string {
  const { filterState, requestHeaders, connection } = info;
  return (
    filterState.text(DYNAMIC_HOST_FILTER_STATE) ??
    (requestHeaders === undefined ? connection.requestedServerName : requestHeaders.authority) ??
    ''
  );
}

/** RFC 3986 §3.2: a name, an IPv4 address or an IPv6 address in brackets, and a port or none. */
function parseAuthority(text: string): { readonly host: string; readonly port?: number } | undefined {
  const [, v6, name = '', port] = /^(?:\[([^\]]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  const host = v6 ?? name.toLowerCase();
  if (host === '' || (v6 !== undefined && isIP(v6) !== 6)) return undefined;
  return port === undefined ? { host } : { host, port: Number(port) };
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
