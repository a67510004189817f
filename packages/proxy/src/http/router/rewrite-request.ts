import type { HeaderMap, StreamInfo } from '../../engine/types.ts';
import { rewriteTarget } from '../route/path-rewrite.ts';
import type { ChosenRoute, ForwardAction } from '../route/route.ts';
import type { RouterHost, RouterOptions } from './router-host.ts';

/** Changes a request's headers, host and path as its route says. `auto_host_rewrite` waits for the endpoint. */
export function rewriteRequest(
  headers: HeaderMap,
  info: StreamInfo,
  route: ChosenRoute,
  action: ForwardAction,
  options: RouterOptions,
): void {
  route.mutate('request', headers, info);
  const authority = route.cluster?.hostRewrite ?? rewrittenHost(headers, action);
  if (authority !== undefined && authority !== '') setAuthority(headers, authority, action, options);
  const { path } = headers;
  if (action.rewritePath !== undefined && path !== undefined && headers.method !== 'CONNECT') {
    headers.path = rewriteTarget(path, action.rewritePath);
    if (!options.suppressEnvoyHeaders) headers.set('x-envoy-original-path', path);
  }
  if (options.suppressEnvoyHeaders) headers.delete('x-envoy-expected-rq-timeout-ms');
}

function rewrittenHost(headers: HeaderMap, { rewriteHost }: ForwardAction): string | undefined {
  switch (rewriteHost?.kind) {
    case 'literal':
      return rewriteHost.host;
    case 'header':
      return headers.get(rewriteHost.name);
    case 'path-regex':
      return rewriteHost.rewrite((headers.path ?? '').replace(/[?#].*$/, ''));
    case 'auto':
    case undefined:
      return undefined;
  }
}

/** What depends on the attempt. */
export function finishAttemptHeaders(
  headers: HeaderMap,
  attempt: {
    readonly host: RouterHost;
    readonly action: ForwardAction;
    readonly options: RouterOptions;
    /** Of the endpoint. */
    readonly hostname: string;
    /** What is left of the time for all attempts; undefined: this one has what it was given. */
    readonly leftMs: number | undefined;
  },
): void {
  const { host, action, options, hostname, leftMs } = attempt;
  if (action.rewriteHost?.kind === 'auto' && hostname !== '') {
    setAuthority(headers, hostname, action, options);
  }
  if (leftMs !== undefined && headers.has('x-envoy-expected-rq-timeout-ms')) {
    headers.set('x-envoy-expected-rq-timeout-ms', String(Math.max(1, Math.round(leftMs))));
  }
  if (host.chosenRoute?.route.virtualHost.includeAttemptCount === true) {
    headers.set('x-envoy-attempt-count', String(host.info.attemptCount));
  }
}

/** Keeps what stood there before in x-envoy-original-host, and in x-forwarded-host by option. */
function setAuthority(
  headers: HeaderMap,
  authority: string,
  action: ForwardAction,
  options: RouterOptions,
): void {
  const before = headers.authority ?? '';
  if (before === authority) return;
  if (action.appendForwardedHost) {
    const chain = headers.joined('x-forwarded-host');
    headers.set('x-forwarded-host', chain === undefined ? before : `${chain},${before}`);
  }
  if (!options.suppressEnvoyHeaders) headers.set('x-envoy-original-host', before);
  headers.authority = authority;
}
