import type { BlockList } from 'node:net';
import { type WorkloadIdentity, parseSpiffeId, peerIdentity } from '@weft/spiffe';
import { type ErrorCode, WeftError } from '@weft/telemetry';
import { forwardedIdentity } from './forwarded-certificate.ts';
import type { Caller, TokenAuthenticator } from './token-authenticator.ts';

/** What a caller shows. */
export interface Credentials {
  /** Header `authorization`. */
  readonly authorization: string | undefined;
  /** Verified by TLS: its chain, its purpose, and that it isn't revoked. */
  readonly certificate: { readonly subjectaltname?: string | undefined } | undefined;
  /** Header `x-forwarded-client-cert`. */
  readonly forwardedCertificate: string | undefined;
  /** IP address without a port. */
  readonly address: string;
}

export interface CallerAuthenticatorOptions {
  readonly tokens: Pick<TokenAuthenticator, 'authenticate'>;
  readonly trustDomain: () => string;
  /** Whose word counts about the certificates of those that they speak for. */
  readonly trustedGateways: BlockList;
}

/** Who calls, by the first of these that says so: client certificate, token, certificate that a trusted gateway saw. */
export class CallerAuthenticator {
  private readonly options: CallerAuthenticatorOptions;

  constructor(options: CallerAuthenticatorOptions) {
    this.options = options;
  }

  /** @throws the given code when the caller isn't who he says, WEFT1807 when the API server can't be asked */
  async authenticate(
    { authorization, certificate, forwardedCertificate, address }: Credentials,
    refusal: ErrorCode & ('WEFT1803' | 'WEFT1820'),
    signal: AbortSignal,
  ): Promise<Caller> {
    const { tokens, trustedGateways } = this.options;
    const certified = this.ours(peerIdentity({ subjectAltName: certificate?.subjectaltname }));
    if (certified !== undefined) return { ...certified, pod: undefined, by: 'certificate' };
    if (authorization === undefined && forwardedCertificate !== undefined) {
      const family = address.includes(':') ? 'ipv6' : 'ipv4';
      if (address === '' || !trustedGateways.check(address, family))
        throw new WeftError(
          refusal,
          `${address} is no trusted gateway, whose word on certificates would count`,
        );
      const forwarded = this.ours(forwardedIdentity(forwardedCertificate));
      if (forwarded === undefined)
        throw new WeftError(refusal, 'the forwarded certificate is not of an identity of this mesh');
      return { ...forwarded, pod: undefined, by: 'forwarded certificate' };
    }
    return tokens.authenticate(authorization, refusal, signal);
  }

  private ours(identity: string | undefined): WorkloadIdentity | undefined {
    const parsed = identity === undefined ? undefined : parseSpiffeId(identity);
    return parsed?.trustDomain === this.options.trustDomain() ? parsed : undefined;
  }
}

/** The address of grpc's `address:port`, IPv4 also where the socket is of both families. */
export function addressOfPeer(peer: string): string {
  const address = peer.slice(0, Math.max(0, peer.lastIndexOf(':'))).replace(/^\[|\]$/g, '');
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}
