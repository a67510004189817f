import type { HeaderMap, LocalReply } from '../../engine/types.ts';
import { rewriteTarget } from '../route/path-rewrite.ts';
import type { RedirectAction } from '../route/route.ts';

/** The `location` of a redirect. */
export function redirectLocation(headers: HeaderMap, redirect: RedirectAction): string {
  const scheme = redirect.scheme ?? headers.get('x-forwarded-proto') ?? headers.scheme ?? 'http';
  const target = headers.path ?? '/';
  let path: string;
  if (redirect.path !== undefined) {
    const query = redirect.stripQuery || redirect.path.includes('?') ? '' : queryOf(target);
    path = redirect.path + query;
  } else {
    path = redirect.rewritePath === undefined ? target : rewriteTarget(target, redirect.rewritePath);
    if (redirect.stripQuery) path = path.replace(/\?.*$/, '');
  }
  return `${scheme}://${redirectHost(headers, redirect, scheme)}${path}`;
}

function redirectHost(headers: HeaderMap, redirect: RedirectAction, scheme: string): string {
  const authority = headers.authority ?? '';
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(authority);
  const host = redirect.host ?? match?.[1] ?? authority;
  if (redirect.port !== undefined) return `${host}:${redirect.port}`;
  if (redirect.host !== undefined) return host;
  const port = match?.[2];
  if (port === undefined) return host;
  // The other scheme's default port would be wrong for this one.
  const changed = redirect.scheme !== undefined;
  if (changed && (port === '80' || port === '443')) return host;
  const isDefault = (scheme === 'http' && port === '80') || (scheme === 'https' && port === '443');
  return isDefault && changed ? host : `${host}:${port}`;
}

function queryOf(target: string): string {
  const at = target.indexOf('?');
  return at < 0 ? '' : target.slice(at);
}

/** For `require_tls`: the same address with https. */
export function redirectToTls(headers: HeaderMap): LocalReply {
  const location = redirectLocation(headers, {
    status: 301,
    scheme: 'https',
    host: undefined,
    port: undefined,
    path: undefined,
    rewritePath: undefined,
    stripQuery: false,
  });
  return { status: 301, details: 'direct_response', headers: [['location', location]] };
}
