import { describe, expect, it } from '@jest/globals';
import type { PodFacts } from '../sources/facts.ts';
import { certifiedIdentity, type IdentityContext } from './certified-identity.ts';
import type { Caller } from './token-authenticator.ts';

const pod = (name: string, namespace: string, over: Partial<PodFacts> = {}): PodFacts => ({
  namespace,
  name,
  uid: `uid-${name}`,
  labels: {},
  nodeName: 'n1',
  serviceAccount: name,
  hostNetwork: false,
  phase: 'Running',
  addresses: [],
  healthy: true,
  redirected: true,
  controller: undefined,
  namedPorts: {},
  ...over,
});

const proxy = pod('ztunnel-1', 'istio-system', { serviceAccount: 'ztunnel' });
const caller: Caller = {
  namespace: 'istio-system',
  serviceAccount: 'ztunnel',
  pod: { name: 'ztunnel-1', uid: 'uid-ztunnel-1' },
  by: 'token',
};
const web = 'spiffe://cluster.local/ns/shop/sa/web';

function context(...pods: PodFacts[]): IdentityContext {
  return {
    trustDomain: 'cluster.local',
    trustedNodeAccounts: new Set(['istio-system/ztunnel']),
    pod: (namespace, name) => pods.find((p) => p.namespace === namespace && p.name === name),
    podsOnNode: (node, namespace, account) =>
      pods.filter((p) => p.nodeName === node && p.namespace === namespace && p.serviceAccount === account),
  };
}

describe('certifiedIdentity', () => {
  it('gives a caller its own identity when it asks for none', () => {
    const own = { namespace: 'shop', serviceAccount: 'web', pod: undefined, by: 'token' } as const;
    expect(certifiedIdentity(own, undefined, context())).toBe(web);
  });

  it('gives a node proxy the identity of a pod on its node', () => {
    expect(certifiedIdentity(caller, web, context(proxy, pod('web', 'shop')))).toBe(web);
  });

  it.each([
    [
      'the caller is no trusted node account',
      { ...caller, serviceAccount: 'web' },
      web,
      [proxy, pod('web', 'shop')],
    ],
    [
      'the account has the right name in another namespace',
      { ...caller, namespace: 'shop' },
      web,
      [proxy, pod('web', 'shop')],
    ],
    ['the token is not bound to a pod', { ...caller, pod: undefined }, web, [proxy, pod('web', 'shop')]],
    ['the pod of the token is gone', caller, web, [pod('web', 'shop')]],
    [
      'the pod of the token was made anew',
      { ...caller, pod: { name: 'ztunnel-1', uid: 'old' } },
      web,
      [proxy, pod('web', 'shop')],
    ],
    [
      'the pod of the token runs as another account',
      caller,
      web,
      [{ ...proxy, serviceAccount: 'x' }, pod('web', 'shop')],
    ],
    ['the pod of the token has failed', caller, web, [{ ...proxy, phase: 'Failed' }, pod('web', 'shop')]],
    [
      'the pod of the token is not scheduled',
      caller,
      web,
      [{ ...proxy, nodeName: '' }, pod('web', 'shop', { nodeName: '' })],
    ],
    ['the workload is on another node', caller, web, [proxy, pod('web', 'shop', { nodeName: 'n2' })]],
    ['the workload has failed', caller, web, [proxy, pod('web', 'shop', { phase: 'Failed' })]],
    ['nobody has that identity', caller, web, [proxy]],
    ['the trust domain is not ours', caller, 'spiffe://other/ns/shop/sa/web', [proxy, pod('web', 'shop')]],
    ['it is not an identity', caller, 'spiffe://cluster.local/ns/shop/sa/web/x', [proxy, pod('web', 'shop')]],
  ])('refuses when %s', (_why, who, requested, pods) => {
    expect(() => certifiedIdentity(who, requested, context(...pods))).toThrow(
      expect.objectContaining({ code: 'WEFT1804' }),
    );
  });
});
