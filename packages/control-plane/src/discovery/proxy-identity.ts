import { WeftError } from '@weft/telemetry';
import { type Node, type StreamPeer, nodeMetadata } from '@weft/xds';
import { type Caller, type TokenAuthenticator, describeCaller } from '../ca/token-authenticator.ts';

const REVIEW_TIMEOUT_MS = 10_000;

/** @throws WEFT1820, or WEFT1807 while the API server can't be asked */
export function authenticateProxy(
  authenticator: TokenAuthenticator,
  { metadata }: StreamPeer,
): Promise<Caller> {
  const [authorization] = metadata.get('authorization');
  return authenticator.authenticate(
    authorization?.toString(),
    'WEFT1820',
    AbortSignal.timeout(REVIEW_TIMEOUT_MS),
  );
}

/** @throws WEFT1821 when the node's metadata says something else than the token */
export function checkNode(caller: Caller, node: Node): void {
  const namespace = nodeMetadata(node, 'NAMESPACE');
  const serviceAccount = nodeMetadata(node, 'SERVICE_ACCOUNT');
  if (
    (namespace !== undefined && namespace !== caller.namespace) ||
    (serviceAccount !== undefined && serviceAccount !== caller.serviceAccount)
  ) {
    const claim = `${namespace ?? caller.namespace}/${serviceAccount ?? caller.serviceAccount}`;
    throw new WeftError('WEFT1821', `${describeCaller(caller)} calls itself ${claim}`);
  }
}
