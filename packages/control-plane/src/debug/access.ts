import { BlockList } from 'node:net';
import {
  type AdminHandler,
  type AdminRequest,
  type AdminResponse,
  WeftError,
  describeError,
} from '@weft/telemetry';
import type { TokenAuthenticator } from '../ca/token-authenticator.ts';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

const REVIEW_TIMEOUT_MS = 5_000;

/**
 * Lets in who is on this machine (`kubectl port-forward` is), or shows a token of the system namespace.
 * @param isOwn whether a request is about what another namespace's callers may see
 */
export function restricted(
  handler: AdminHandler,
  options: { readonly authenticator: TokenAuthenticator; readonly systemNamespace: string },
  isOwn: (request: AdminRequest, namespace: string) => boolean = () => false,
): AdminHandler {
  return async (request: AdminRequest): Promise<AdminResponse> => {
    if (isLoopback(request.remoteAddress)) return handler(request);
    try {
      const caller = await options.authenticator.authenticate(
        request.headers.authorization,
        'WEFT1820',
        AbortSignal.timeout(REVIEW_TIMEOUT_MS),
      );
      const { namespace } = caller;
      if (namespace !== options.systemNamespace && !isOwn(request, namespace))
        return { status: 403, body: 'forbidden\n' };
    } catch (error) {
      const unreachable = WeftError.is(error) && error.code === 'WEFT1807';
      return { status: unreachable ? 503 : 401, body: `${describeError(error)}\n` };
    }
    return handler(request);
  };
}

export function isLoopback(address: string): boolean {
  const four = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1] ?? address;
  return four.includes(':') ? loopback.check(four, 'ipv6') : four !== '' && loopback.check(four, 'ipv4');
}
