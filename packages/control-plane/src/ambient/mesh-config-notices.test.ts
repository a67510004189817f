import { describe, expect, it } from '@jest/globals';
import { defaultMesh, meshConfigReport, parseMeshConfig } from './mesh.ts';

const defaults = defaultMesh({ trustDomain: 'cluster.local', rootNamespace: 'istio-system' });
const notices = (text: string) => meshConfigReport(text, defaults).notices;

describe('notices about a mesh configuration', () => {
  it.each([
    ['outboundTrafficPolicy: { mode: REGISTRY_ONLY }', /^outboundTrafficPolicy has no effect: ztunnel lets/],
    ['outbound_traffic_policy: { mode: REGISTRY_ONLY }', /^outboundTrafficPolicy has no effect: /],
    ['enableAutoMtls: false', /^enableAutoMtls has no effect: /],
    [
      'serviceScopeConfigs: [{ scope: GLOBAL }]',
      /^serviceScopeConfigs has no effect: .* there is one cluster$/,
    ],
    ['ingressControllerMode: DEFAULT', /^ingressControllerMode has no effect: Ingress objects are not read$/],
    ['localityLbSetting: { enabled: false }', /^localityLbSetting has no effect: /],
    [
      'discoverySelector: []',
      /^discoverySelector is no field of MeshConfig; did you mean discoverySelectors\?$/,
    ],
    ['defaultConfig: { concurrency: 2 }', /^defaultConfig.concurrency has no effect: it is passed on/],
    ['defaultProviders: { tracing: [zipkin] }', /^defaultProviders.tracing has no effect/],
    ['defaultProviders: { metrics: [stackdriver] }', /^defaultProviders.metrics has no effect/],
    ['somethingElse: 1', /^somethingElse is no field of MeshConfig$/],
  ])('say of %s that it has no effect', (text, expected) => {
    expect(notices(text)).toEqual([expect.stringMatching(expected)]);
  });

  it('are none where what is asked for happens anyway, as in the defaults of Istio’s chart', () => {
    const text = `
      defaultConfig: { discoveryAddress: "istiod.istio-system.svc:15012" }
      defaultProviders: { metrics: [prometheus] }
      enablePrometheusMerge: true
      enableAutoMtls: true
      outboundTrafficPolicy: { mode: ALLOW_ANY }
      h2UpgradePolicy:
      rootNamespace: istio-system
      trustDomain: cluster.local`;
    expect(meshConfigReport(text, defaults)).toEqual({ problem: undefined, notices: [] });
  });

  it('are not given of a configuration that is not in force anyway', () => {
    expect(meshConfigReport('{ trustDomain: 1, enableAutoMtls: false }', defaults)).toEqual({
      problem: 'mesh configuration: trustDomain is not a text',
      notices: [],
    });
    expect(meshConfigReport('{', defaults).problem).toMatch(/^[^\n]+ at line 1[^\n]*$/);
  });
});

it.each([
  ['trustDomain: a/b', 'trustDomain is not a trust domain'],
  ['trustDomain: "a b"', 'trustDomain is not a trust domain'],
  ['trustDomain: "*"', 'trustDomain is not a trust domain'],
  [`trustDomain: ${'a'.repeat(256)}`, 'trustDomain is not a trust domain'],
  ['trustDomainAliases: [a/b]', 'trustDomainAliases is not a list of trust domains'],
  ['['.repeat(100_000), 'nested more than 100 levels deep'],
  [
    'a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a]\nc: [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: [*b, *b, *b, *b, *b, *b, *b, *b]',
    'Excessive alias count',
  ],
])('is not in force: %.40s', (text, problem) => {
  expect(() => parseMeshConfig(text, defaults)).toThrow(problem);
  expect(meshConfigReport(text, defaults)).toEqual({
    problem: expect.stringContaining(problem),
    notices: [],
  });
});
