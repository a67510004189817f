import { randomUUID } from 'node:crypto';
import {
  numberAt,
  objectAt,
  objectKey,
  stringAt,
  stringsAt,
  type ApiObject,
  type JsonObject,
} from '../object.ts';
import type { Store } from '../store/store.ts';
import type { TokenSigner } from './json-web-token.ts';
import { serviceAccountUser, type User } from './user.ts';

export const DEFAULT_ISSUER = 'https://kubernetes.default.svc.cluster.local';
/** A bound token outlives a missed refresh by this much when the kubelet asked for about an hour. */
const EXTENDED_EXPIRATION_SECONDS = 3607;
const MAX_EXPIRATION_SECONDS = 2 ** 32;

export interface BoundObject {
  readonly kind: 'Pod' | 'Secret' | 'Node';
  readonly object: ApiObject;
}

export interface IssuedToken {
  readonly token: string;
  readonly expiresAt: Date;
}

export type TokenVerdict =
  | { readonly kind: 'valid'; readonly user: User; readonly audiences: readonly string[] }
  | { readonly kind: 'invalid'; readonly why: string };

/** Issues and checks service account tokens, which die with the account and with the pod they are bound to. */
export class ServiceAccountTokens {
  /** Audiences that the API server itself accepts: its issuer name. */
  readonly apiAudiences: readonly string[];
  private readonly store: Store;
  private readonly signer: TokenSigner;
  private readonly issuer: string;
  private readonly now: () => Date;

  constructor(store: Store, signer: TokenSigner, issuer: string, now: () => Date) {
    this.store = store;
    this.signer = signer;
    this.issuer = issuer;
    this.apiAudiences = [issuer];
    this.now = now;
  }

  issue(
    account: ApiObject,
    audiences: readonly string[],
    seconds: number,
    bound: BoundObject | undefined,
  ): IssuedToken {
    const issuedAt = Math.floor(this.now().getTime() / 1000);
    const lifetime = Math.min(seconds, MAX_EXPIRATION_SECONDS);
    const namespace = account.metadata.namespace ?? '';
    const token = this.signer.sign({
      aud: audiences.length === 0 ? [...this.apiAudiences] : [...audiences],
      exp: issuedAt + lifetime,
      iat: issuedAt,
      nbf: issuedAt,
      iss: this.issuer,
      jti: randomUUID(),
      sub: `system:serviceaccount:${namespace}:${account.metadata.name}`,
      'kubernetes.io': {
        namespace,
        serviceaccount: { name: account.metadata.name, uid: account.metadata.uid ?? '' },
        ...boundClaims(this.store, bound),
        ...(lifetime === EXTENDED_EXPIRATION_SECONDS ? { warnafter: issuedAt + lifetime } : {}),
      },
    });
    return { token, expiresAt: new Date((issuedAt + lifetime) * 1000) };
  }

  /** `audiences` are those the asker would accept; the verdict holds the ones the token really has. */
  verify(token: string, audiences: readonly string[]): TokenVerdict {
    const claims = this.signer.verify(token);
    if (claims === undefined) return { kind: 'invalid', why: 'the signature is not of this cluster' };
    const seconds = this.now().getTime() / 1000;
    if (stringAt(claims, 'iss') !== this.issuer) return { kind: 'invalid', why: 'wrong issuer' };
    if ((numberAt(claims, 'exp') ?? 0) <= seconds)
      return { kind: 'invalid', why: 'service account token has expired' };
    if ((numberAt(claims, 'nbf') ?? 0) > seconds) return { kind: 'invalid', why: 'token is not valid yet' };
    const granted = stringsAt(claims, 'aud').filter((audience) => audiences.includes(audience));
    if (granted.length === 0) return { kind: 'invalid', why: 'token audiences do not match' };
    const identity = objectAt(claims, 'kubernetes.io');
    const namespace = stringAt(identity, 'namespace') ?? '';
    const name = stringAt(identity, 'serviceaccount', 'name') ?? '';
    const account = this.store.get('serviceaccounts', objectKey(namespace, name));
    if (account === undefined || account.metadata.uid !== stringAt(identity, 'serviceaccount', 'uid')) {
      return { kind: 'invalid', why: `service account ${namespace}/${name} has been deleted` };
    }
    for (const [claim, collection, scope] of boundKinds) {
      const reference = objectAt(identity, claim);
      if (reference === undefined) continue;
      // A token bound to a pod also names the node, for information; the pod is what it is bound to.
      if (claim === 'node' && objectAt(identity, 'pod') !== undefined) continue;
      const live = this.store.get(
        collection,
        objectKey(scope === 'namespaced' ? namespace : undefined, stringAt(reference, 'name') ?? ''),
      );
      if (live === undefined || live.metadata.uid !== stringAt(reference, 'uid')) {
        return { kind: 'invalid', why: `the ${claim} the token is bound to has been deleted` };
      }
    }
    const user = serviceAccountUser(namespace, name, account.metadata.uid ?? '', extraOf(claims, identity));
    return { kind: 'valid', user, audiences: granted };
  }
}

const boundKinds = [
  ['pod', 'pods', 'namespaced'],
  ['secret', 'secrets', 'namespaced'],
  ['node', 'nodes', 'cluster'],
] as const;

function boundClaims(store: Store, bound: BoundObject | undefined): JsonObject {
  if (bound === undefined) return {};
  const reference = (object: ApiObject): JsonObject => ({
    name: object.metadata.name,
    uid: object.metadata.uid ?? '',
  });
  if (bound.kind !== 'Pod') return { [bound.kind.toLowerCase()]: reference(bound.object) };
  const nodeName = stringAt(bound.object, 'spec', 'nodeName');
  const node = nodeName === undefined ? undefined : store.get('nodes', nodeName);
  return { pod: reference(bound.object), ...(node === undefined ? {} : { node: reference(node) }) };
}

function extraOf(claims: JsonObject, identity: JsonObject | undefined): User['extra'] {
  const extra: Record<string, readonly string[]> = {};
  const add = (key: string, value: string | undefined) => {
    if (value !== undefined) extra[`authentication.kubernetes.io/${key}`] = [value];
  };
  const id = stringAt(claims, 'jti');
  add('credential-id', id === undefined ? undefined : `JTI=${id}`);
  add('pod-name', stringAt(identity, 'pod', 'name'));
  add('pod-uid', stringAt(identity, 'pod', 'uid'));
  add('node-name', stringAt(identity, 'node', 'name'));
  add('node-uid', stringAt(identity, 'node', 'uid'));
  return extra;
}
