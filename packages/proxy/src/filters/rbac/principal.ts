import type { envoy } from '@weft/api/envoy';
import type { SocketAddress, StreamInfo } from '../../engine/types.ts';
import { at, compileCidr, compileStringMatcher, invalid } from '../../matching/index.ts';
import {
  every,
  headerPredicate,
  metadataPredicate,
  some,
  urlPathPredicate,
  type StreamPredicate,
} from './permission.ts';

type Principal = envoy.config.rbac.v3.Principal.$Properties;

/** Who does it: certified identity, address, headers, verified claims. */
export function compilePrincipal(principal: Principal): StreamPredicate {
  switch (principal.identifier) {
    case 'any':
      return () => principal.any === true;
    case 'andIds':
      return every(compileAll('and_ids.ids', principal.andIds?.ids));
    case 'orIds':
      return some(compileAll('or_ids.ids', principal.orIds?.ids));
    case 'notId': {
      const inner = at('not_id', () => compilePrincipal(principal.notId ?? {}));
      return (info) => !inner(info);
    }
    case 'authenticated':
      return authenticated(principal.authenticated ?? {});
    case 'sourceIp':
      return addressPredicate('source_ip', principal.sourceIp ?? {}, (info) => info.connection.remoteAddress);
    case 'directRemoteIp':
      return addressPredicate('direct_remote_ip', principal.directRemoteIp ?? {}, directRemoteAddress);
    case 'remoteIp':
      return addressPredicate('remote_ip', principal.remoteIp ?? {}, (info) => info.remoteAddress);
    case 'header':
      return headerPredicate(principal.header ?? {});
    case 'urlPath':
      return urlPathPredicate(principal.urlPath ?? {});
    case 'metadata':
      return metadataPredicate(principal.metadata ?? {});
    case 'filterState':
      return filterState(principal.filterState ?? {});
    default:
      return invalid(`identifier "${principal.identifier ?? ''}" is not supported`);
  }
}

/** URI names, then DNS names, then, for a certificate without either, the subject. */
function authenticated(config: envoy.config.rbac.v3.Principal.Authenticated.$Properties): StreamPredicate {
  const { principalName } = config;
  if (principalName === undefined || principalName === null) {
    return ({ connection }) => connection.tls?.peerValidated === true;
  }
  const matches = at('authenticated.principal_name', () => compileStringMatcher(principalName));
  return ({ connection: { tls } }) => {
    // A name in a certificate that nobody vouches for is only a claim.
    if (tls?.peerValidated !== true) return false;
    if (tls.peerUriSans.some(matches) || tls.peerDnsSans.some(matches)) return true;
    return tls.peerUriSans.length === 0 && tls.peerDnsSans.length === 0 && matches(tls.subjectPeer ?? '');
  };
}

function filterState(config: envoy.type.matcher.v3.FilterStateMatcher.$Properties): StreamPredicate {
  const key = config.key ?? '';
  if (key === '') invalid('must not be empty', 'filter_state.key');
  if (config.matcher !== 'stringMatch') return invalid('matcher is required', 'filter_state');
  const matches = at('filter_state.string_match', () => compileStringMatcher(config.stringMatch ?? {}));
  // Absent is not empty: `*` (a regex of one or more characters) must not be met by an unknown peer.
  return (info) => {
    const value = info.filterState.text(key);
    return value !== undefined && matches(value);
  };
}

function addressPredicate(
  path: string,
  range: envoy.config.core.v3.CidrRange.$Properties,
  address: (info: StreamInfo) => SocketAddress,
): StreamPredicate {
  const matches = at(path, () => compileCidr(range));
  return (info) => {
    const a = address(info);
    return a.kind === 'ip' && matches(a.ip);
  };
}

/**
 * The socket's peer. Behind an internal listener that is the proxy itself, so the address that the tunnel's end
 * restored stands for it: `ipBlocks` would otherwise never match on a waypoint.
 */
function directRemoteAddress({ connection }: StreamInfo): SocketAddress {
  return connection.directRemoteAddress.kind === 'ip'
    ? connection.directRemoteAddress
    : connection.remoteAddress;
}

function compileAll(path: string, ids: readonly Principal[] | null | undefined): readonly StreamPredicate[] {
  if (ids === null || ids === undefined || ids.length === 0) invalid('must not be empty', path);
  return ids.map((id, i) => at(`${path}[${i}]`, () => compilePrincipal(id)));
}
