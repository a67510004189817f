import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { ApiObject } from '../object.ts';
import { Store } from '../store/store.ts';
import { TokenSigner } from './json-web-token.ts';
import { DEFAULT_ISSUER, ServiceAccountTokens } from './service-account-tokens.ts';

const pem = (type: 'ec' | 'rsa'): string => {
  const pair =
    type === 'ec'
      ? generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
};
const keyPem = pem('ec');

let store: Store;
let time: Date;
let tokens: ServiceAccountTokens;
let account: ApiObject;
let pod: ApiObject;

beforeEach(() => {
  store = new Store();
  time = new Date('2026-01-01T00:00:00Z');
  tokens = new ServiceAccountTokens(store, new TokenSigner(keyPem), DEFAULT_ISSUER, () => time);
  account = store.put('serviceaccounts', {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'sa', namespace: 'ns', uid: 'sa-uid' },
  });
  store.put('nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1', uid: 'n1-uid' } });
  pod = store.put('pods', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'ns', uid: 'p-uid' },
    spec: { nodeName: 'n1' },
  });
});

describe('service account tokens', () => {
  it('say who the pod is and where it runs', () => {
    const { token, expiresAt } = tokens.issue(account, ['istio-ca'], 3600, { kind: 'Pod', object: pod });
    expect(expiresAt.toISOString()).toBe('2026-01-01T01:00:00.000Z');
    const verdict = tokens.verify(token, ['istio-ca', 'other']);
    expect(verdict).toMatchObject({
      kind: 'valid',
      audiences: ['istio-ca'],
      user: {
        name: 'system:serviceaccount:ns:sa',
        uid: 'sa-uid',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:ns', 'system:authenticated'],
        extra: {
          'authentication.kubernetes.io/pod-name': ['p'],
          'authentication.kubernetes.io/pod-uid': ['p-uid'],
          'authentication.kubernetes.io/node-name': ['n1'],
          'authentication.kubernetes.io/node-uid': ['n1-uid'],
        },
      },
    });
  });

  const endings: readonly (readonly [string, () => unknown, readonly string[]])[] = [
    ['another audience', () => undefined, ['api']],
    [
      'after their time',
      () => {
        time = new Date(time.getTime() + 3_601_000);
      },
      ['istio-ca'],
    ],
    ['once the pod is gone', () => store.delete('pods', 'ns/p'), ['istio-ca']],
    ['once the account is gone', () => store.delete('serviceaccounts', 'ns/sa'), ['istio-ca']],
    [
      'for an account of the same name made anew',
      () => store.put('serviceaccounts', { ...account, metadata: { ...account.metadata, uid: 'new' } }),
      ['istio-ca'],
    ],
  ];
  it.each(endings)('are not valid for %s', (_what, change, audiences) => {
    const { token } = tokens.issue(account, ['istio-ca'], 3600, { kind: 'Pod', object: pod });
    change();
    expect(tokens.verify(token, audiences).kind).toBe('invalid');
  });

  it('are not valid when signed by another key or changed', () => {
    const { token } = new ServiceAccountTokens(
      store,
      new TokenSigner(pem('ec')),
      DEFAULT_ISSUER,
      () => time,
    ).issue(account, [], 3600, undefined);
    expect(tokens.verify(token, tokens.apiAudiences).kind).toBe('invalid');
    const own = tokens.issue(account, [], 3600, undefined).token;
    expect(tokens.verify(own, tokens.apiAudiences).kind).toBe('valid');
    expect(tokens.verify(`${own.slice(0, -4)}AAAA`, tokens.apiAudiences).kind).toBe('invalid');
    expect(tokens.verify('x'.repeat(20_000), tokens.apiAudiences).kind).toBe('invalid');
  });

  it('stay valid after the key was replaced, and RSA keys work as well', () => {
    const { token } = tokens.issue(account, [], 3600, undefined);
    const rotated = new ServiceAccountTokens(
      store,
      new TokenSigner(pem('rsa'), [
        createPublicKey(keyPem).export({ type: 'spki', format: 'pem' }).toString(),
      ]),
      DEFAULT_ISSUER,
      () => time,
    );
    expect(rotated.verify(token, rotated.apiAudiences).kind).toBe('valid');
    const next = rotated.issue(account, [], 3600, undefined).token;
    expect(rotated.verify(next, rotated.apiAudiences).kind).toBe('valid');
  });
});
