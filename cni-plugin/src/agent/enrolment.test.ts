import { describe, expect, it } from '@jest/globals';
import type { Namespace, Pod } from '@weft/kubernetes';
import { decideEnrolment, parseSelectors, ruleOptions, type EnrolmentPolicy } from './enrolment.ts';

const selectors = parseSelectors(`
- podSelector: { matchLabels: { istio.io/dataplane-mode: ambient } }
- podSelector: { matchExpressions: [{ key: istio.io/dataplane-mode, operator: NotIn, values: [none] }] }
  namespaceSelector: { matchLabels: { istio.io/dataplane-mode: ambient } }
`);
const policy: EnrolmentPolicy = {
  selectors,
  excludedNamespaces: new Set(['kube-system']),
  systemNamespace: 'istio-system',
};
const agent = { dnsCapture: true };
const ambient = { 'istio.io/dataplane-mode': 'ambient' };
const none = { 'istio.io/dataplane-mode': 'none' };
const namespaceOf = (name: string, labels = {}): Namespace => ({ metadata: { name, labels } });
const podOf = (
  o: { namespace?: string; labels?: object; annotations?: object; hostNetwork?: boolean } = {},
): Pod => ({
  metadata: {
    name: 'p',
    namespace: o.namespace ?? 'shop',
    labels: { ...o.labels } as Record<string, string>,
    annotations: { ...o.annotations } as Record<string, string>,
  },
  spec: { containers: [], ...(o.hostNetwork ? { hostNetwork: true } : {}) },
});

describe('enrolment', () => {
  it.each([
    ['no labels at all', podOf(), namespaceOf('shop'), 'leave'],
    ['a labelled namespace', podOf(), namespaceOf('shop', ambient), 'enrol'],
    ['a labelled pod', podOf({ labels: ambient }), namespaceOf('shop'), 'enrol'],
    ['a pod that opts out', podOf({ labels: none }), namespaceOf('shop', ambient), 'leave'],
    ['a pod of an unknown namespace', podOf(), undefined, 'leave'],
    ['the network of the node', podOf({ hostNetwork: true, labels: ambient }), namespaceOf('shop'), 'leave'],
    [
      'a sidecar',
      podOf({ labels: ambient, annotations: { 'sidecar.istio.io/status': '{}' } }),
      namespaceOf('shop'),
      'leave',
    ],
    [
      'an excluded namespace',
      podOf({ namespace: 'kube-system', labels: ambient }),
      namespaceOf('kube-system'),
      'leave',
    ],
    [
      'ztunnel',
      podOf({ namespace: 'istio-system', labels: { ...ambient, app: 'ztunnel' } }),
      namespaceOf('istio-system'),
      'leave',
    ],
    [
      'another pod of the system namespace',
      podOf({ namespace: 'istio-system', labels: ambient }),
      namespaceOf('istio-system'),
      'enrol',
    ],
  ])('of a pod with %s', (_what, pod, namespace, kind) => {
    expect(decideEnrolment(policy, pod, namespace).kind).toBe(kind);
  });
});

describe('annotations of a pod', () => {
  it.each([
    ['true', true],
    ['1', true],
    ['T', true],
    ['false', false],
    ['yes', false],
    ['', false],
  ])('take %j as a boolean the way Go does', (text, bypassInbound) => {
    expect(
      ruleOptions(podOf({ annotations: { 'ambient.istio.io/bypass-inbound-capture': text } }), agent)
        .bypassInbound,
    ).toBe(bypassInbound);
  });

  it('pass only names that can be interfaces into a rule', () => {
    const annotations = {
      'istio.io/reroute-virtual-interfaces': 'net1, k6t-eth0,x -j ACCEPT,,averyveryverylongname',
    };
    expect(ruleOptions(podOf({ annotations }), agent).virtualInterfaces).toEqual(['net1', 'k6t-eth0']);
  });

  it.each([
    [undefined, true],
    ['false', false],
    ['T', true],
    ['no', true],
  ])('capture DNS as the annotation says, else as the agent does: %s', (text, expected) => {
    const annotations = text === undefined ? {} : { 'ambient.istio.io/dns-capture': text };
    expect(ruleOptions(podOf({ annotations }), agent).dnsCapture).toBe(expected);
  });
});

describe('enablement selectors', () => {
  it.each([
    ['[]', /expected a list/],
    ['- podSelector: { matchLabel: {} }', /\[0\]\.podSelector\.matchLabel: unknown field/],
    ['- nonsense', /\[0\]: expected podSelector/],
  ])('%j are refused with the field', (text, message) => {
    expect(() => parseSelectors(text)).toThrow(message);
  });
});
