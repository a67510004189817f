import type { KubernetesClient } from '@weft/kubernetes';
import { WeftError, type ErrorCode } from '@weft/telemetry';

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

/** Asks the API server whose token it is, and whether it was made for us. */
export class TokenAuthenticator {
  private readonly client: Pick<KubernetesClient, 'reviewToken'>;
  private readonly audiences: readonly string[];

  constructor(client: Pick<KubernetesClient, 'reviewToken'>, audiences: readonly string[]) {
    this.client = client;
    this.audiences = audiences;
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
    const review = await this.review(token.trim(), signal);
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
    return { namespace, serviceAccount, pod, by: 'token' };
  }

  private async review(token: string, signal: AbortSignal): ReturnType<KubernetesClient['reviewToken']> {
    try {
      return await this.client.reviewToken(token, this.audiences, { signal });
    } catch (error) {
      throw new WeftError('WEFT1807', 'the API server cannot be asked about the token', { cause: error });
    }
  }
}
