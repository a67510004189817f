import { describe, expect, it } from '@jest/globals';
import type { Pod, UntypedObject } from '@weft/kubernetes';
import { checkNetworkPolicies, missingHbonePorts } from './network-policy-checks.ts';

const web: Pod = { metadata: { name: 'web', namespace: 'shop', labels: { app: 'web' } } };
const policy = (spec: object, name = 'p', namespace = 'shop'): UntypedObject => ({
  metadata: { name, namespace },
  spec,
});
const http = [{ protocol: 'TCP', port: 8080 }];
const clients = [{ podSelector: { matchLabels: { app: 'client' } } }];

describe('a NetworkPolicy', () => {
  it.each<[string, object, readonly string[]]>([
    [
      'that allows only the application’s port',
      { podSelector: {}, ingress: [{ ports: http }] },
      ['spec.ingress[0].ports'],
    ],
    [
      'of which one rule is open and the other is not',
      { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }, { from: clients, ports: http }] },
      ['spec.ingress[1].ports'],
    ],
    [
      'that allows only the application’s port of others',
      { podSelector: {}, policyTypes: ['Egress'], egress: [{ to: clients, ports: http }] },
      ['spec.egress[0].ports'],
    ],
    ['that allows 15008', { podSelector: {}, ingress: [{ ports: [...http, { port: 15008 }] }] }, []],
    [
      'that allows a range with 15008',
      { podSelector: {}, ingress: [{ ports: [{ port: 8000, endPort: 16000 }] }] },
      [],
    ],
    ['that allows every port of TCP', { podSelector: {}, ingress: [{ ports: [{ protocol: 'TCP' }] }] }, []],
    [
      'that allows 15008 to everybody in another rule',
      { podSelector: {}, ingress: [{ from: clients, ports: http }, { ports: [{ port: 15008 }] }] },
      [],
    ],
    [
      'that allows 15008 to the same clients in another rule',
      {
        podSelector: {},
        ingress: [
          { from: clients, ports: http },
          { from: clients, ports: [{ port: 15008 }] },
        ],
      },
      [],
    ],
    ['that denies everything', { podSelector: {}, ingress: [] }, []],
    ['of other pods', { podSelector: { matchLabels: { app: 'db' } }, ingress: [{ ports: http }] }, []],
    ['about egress only', { podSelector: {}, policyTypes: ['Egress'], ingress: [{ ports: http }] }, []],
    [
      'that allows addresses outside the cluster',
      { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8' } }], ports: http }] },
      [],
    ],
    [
      'that allows DNS',
      {
        podSelector: {},
        policyTypes: ['Egress'],
        egress: [{ ports: [{ port: 53 }, { protocol: 'UDP', port: 53 }] }],
      },
      [],
    ],
  ])('%s', (_what, spec, paths) => {
    expect(missingHbonePorts([web], [policy(spec)]).map(({ path }) => path)).toEqual(paths);
  });

  it('of another namespace does not matter', () => {
    expect(
      missingHbonePorts([web], [policy({ podSelector: {}, ingress: [{ ports: http }] }, 'p', 'other')]),
    ).toEqual([]);
  });

  it('is made up for by another one that allows 15008', () => {
    const open = policy(
      { podSelector: { matchLabels: { app: 'web' } }, ingress: [{ ports: [{ port: 15008 }] }] },
      'hbone',
    );
    expect(missingHbonePorts([web], [policy({ podSelector: {}, ingress: [{ ports: http }] }), open])).toEqual(
      [],
    );
  });

  it('that blocks the mesh comes with the command that opens it', () => {
    expect(checkNetworkPolicies([web], [policy({ podSelector: {}, ingress: [{ ports: http }] })])).toEqual({
      name: 'NetworkPolicies let HBONE through (port 15008)',
      status: 'failed',
      message: 'shop/p: spec.ingress[0].ports lacks 15008/TCP',
      next: `kubectl patch networkpolicy p -n shop --type=json -p '[{"op":"add","path":"/spec/ingress/0/ports/-","value":{"protocol":"TCP","port":15008}}]'`,
    });
  });

  it('that is not there needs no line', () => {
    expect(checkNetworkPolicies([web], [])).toBeUndefined();
  });
});
