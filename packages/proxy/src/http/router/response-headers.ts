import type { HeaderMap } from '../../engine/types.ts';
import type { RouterHost, RouterOptions } from './router-host.ts';

/** Changes the head of the upstream's response as its route says, and adds what the router knows. */
export function decorateResponse(
  headers: HeaderMap,
  { info, chosenRoute }: RouterHost,
  o: RouterOptions & {
    /** Of hash policies. */
    readonly cookies: readonly string[];
    /** How long the upstream took. */
    readonly ms: number;
  },
): void {
  info.responseCode = headers.status ?? 0;
  info.responseHeaders = headers;
  chosenRoute?.mutate('response', headers, info);
  for (const cookie of o.cookies) headers.append('set-cookie', cookie);
  if (!o.suppressEnvoyHeaders) headers.set('x-envoy-upstream-service-time', String(Math.round(o.ms)));
  if (chosenRoute?.route.virtualHost.includeAttemptCountInResponse === true) {
    headers.set('x-envoy-attempt-count', String(info.attemptCount));
  }
}
