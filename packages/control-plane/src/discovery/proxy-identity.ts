import { WeftError } from '@weft/telemetry';
import { type Node, type StreamPeer, nodeMetadata } from '@weft/xds';
import { type CallerAuthenticator, addressOfPeer } from '../ca/caller-authenticator.ts';
import { type Caller, describeCaller } from '../ca/token-authenticator.ts';

const REVIEW_TIMEOUT_MS = 10_000;

/** @throws WEFT1820, or WEFT1807 while the API server can't be asked */
export function authenticateProxy(
  authenticator: CallerAuthenticator,
  { metadata, address, certificate }: StreamPeer,
): Promise<Caller> {
  const header = (name: string): string | undefined => metadata.get(name)[0]?.toString();
  const credentials = {
    authorization: header('authorization'),
    certificate,
    forwardedCertificate: header('x-forwarded-client-cert'),
    address: addressOfPeer(address),
  };
  return authenticator.authenticate(credentials, 'WEFT1820', AbortSignal.timeout(REVIEW_TIMEOUT_MS));
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
