import { createHash } from 'node:crypto';
import type { KubernetesClient } from '@weft/kubernetes';
import { WeftError, systemClock, type Clock, type ErrorCode } from '@weft/telemetry';

/** Who calls, as authenticated. */
export interface Caller {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The pod to which the token is bound. */
  readonly pod: { readonly name: string; readonly uid: string } | undefined;
  /** What proved it. */
  readonly by: 'token' | 'certificate' | 'forwarded certificate';
}

export function describeCaller({ namespace, serviceAccount, pod, by }: Caller): string {
  const account = `${namespace}/${serviceAccount}`;
  if (by !== 'token') return `${account} (by ${by})`;
  return pod === undefined ? account : `${account} (pod ${pod.name})`;
}

const MAX_TOKEN_LENGTH = 16 * 1024;
const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;
const POD_NAME = 'authentication.kubernetes.io/pod-name';
const POD_UID = 'authentication.kubernetes.io/pod-uid';

/** Tokens whose review is remembered. */
const MAX_REMEMBERED = 10_000;

/**
 * Asks the API server whose token it is, and whether it was made for us. While that can't be asked, its last word on a
 * token counts until the token expires: an outage of the API server must not become one of the mesh.
 */
export class TokenAuthenticator {
  private readonly client: Pick<KubernetesClient, 'reviewToken'>;
  private readonly audiences: readonly string[];
  private readonly clock: Clock;
  /** By hash of the token, the longest unused first. */
  private readonly remembered = new Map<string, { readonly caller: Caller; readonly untilMs: number }>();

  constructor(
    client: Pick<KubernetesClient, 'reviewToken'>,
    audiences: readonly string[],
    clock: Clock = systemClock,
  ) {
    this.client = client;
    this.audiences = audiences;
    this.clock = clock;
  }

  /**
   * @param authorization the header's value
   * @throws the given code when the caller isn't who he says, WEFT1807 when the API server can't be asked
   */
  async authenticate(
    authorization: string | undefined,
    refusal: ErrorCode & ('WEFT1803' | 'WEFT1820'),
    signal: AbortSignal,
  ): Promise<Caller> {
    const [, token = ''] = /^Bearer (.+)$/is.exec(authorization?.trim() ?? '') ?? [];
    if (token === '') throw new WeftError(refusal, 'no bearer token was presented');
    if (token.length > MAX_TOKEN_LENGTH) throw new WeftError(refusal, 'the token is too long');
    const hash = createHash('sha256').update(token.trim()).digest('base64');
    const known = this.remembered.get(hash);
    // What the API server says now counts, whatever it said before.
    this.remembered.delete(hash);
    let review: Awaited<ReturnType<TokenAuthenticator['review']>>;
    try {
      review = await this.review(token.trim(), signal);
    } catch (error) {
      if (known === undefined || known.untilMs <= this.clock.now()) throw error;
      this.remembered.set(hash, known);
      return known.caller;
    }
    if (review.authenticated !== true) {
      throw new WeftError(
        refusal,
        `the API server does not accept the token: ${review.error ?? 'no reason given'}`,
      );
    }
    // An API server that knows nothing of audiences answers none, and would let a token for anybody through.
    if (!(review.audiences ?? []).some((audience) => this.audiences.includes(audience))) {
      throw new WeftError(refusal, `the token is not for ${this.audiences.join(' or ')}`);
    }
    const { username = '', extra = {} } = review.user ?? {};
    const [, namespace, serviceAccount] = SERVICE_ACCOUNT.exec(username) ?? [];
    if (namespace === undefined || serviceAccount === undefined) {
      throw new WeftError(refusal, `${username} is not a service account`);
    }
    const [name] = extra[POD_NAME] ?? [];
    const [uid] = extra[POD_UID] ?? [];
    const pod = name === undefined || uid === undefined ? undefined : { name, uid };
    const caller: Caller = { namespace, serviceAccount, pod, by: 'token' };
    this.remember(hash, caller, expiryMs(token));
    return caller;
  }

  private remember(hash: string, caller: Caller, untilMs: number): void {
    this.remembered.set(hash, { caller, untilMs });
    if (this.remembered.size <= MAX_REMEMBERED) return;
    const [longestUnused] = this.remembered.keys();
    if (longestUnused !== undefined) this.remembered.delete(longestUnused);
  }

  private async review(token: string, signal: AbortSignal): ReturnType<KubernetesClient['reviewToken']> {
    try {
      return await this.client.reviewToken(token, this.audiences, { signal });
    } catch (error) {
      throw new WeftError('WEFT1807', 'the API server cannot be asked about the token', { cause: error });
    }
  }
}

/** When a token that the API server has accepted expires (RFC 7519 §4.1.4); one that doesn't say is not remembered. */
function expiryMs(token: string): number {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const expiry = typeof claims === 'object' && claims !== null && 'exp' in claims ? Number(claims.exp) : 0;
    return Number.isFinite(expiry) ? expiry * 1_000 : 0;
  } catch {
    return 0;
  }
}
