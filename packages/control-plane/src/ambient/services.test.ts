import { expect, it } from '@jest/globals';
import { istio } from '@weft/api/workload';
import type { Service } from '@weft/kubernetes';
import { serviceFacts } from '../sources/facts.ts';
import { kubernetesService } from './services.ts';
import { yaml } from './test-objects.ts';

const { AppProtocol, IPFamilies, LoadBalancing } = istio.workload;
const { Mode, Scope, HealthPolicy } = LoadBalancing;

function convert(metadata: string, spec: string, namespaceDistribution?: string) {
  const facts = serviceFacts(
    yaml<Service>(`{ metadata: { name: web, namespace: shop${metadata} }, spec: { ${spec} } }`),
  );
  if (facts === undefined) return undefined;
  const namespace = {
    name: 'shop',
    labels: {},
    trafficDistribution: namespaceDistribution,
    canaryWeight: undefined,
    terminating: false,
  };
  return kubernetesService(facts, { network: 'n1', clusterDomain: 'cluster.local', namespace });
}

it('describes a service', () => {
  expect(
    convert(
      '',
      'clusterIPs: [10.96.0.9, "fd00::9"], ipFamilies: [IPv4, IPv6], ports: [{ port: 80, targetPort: http, name: http }, { port: 81 }]',
    ),
  ).toEqual({
    name: 'web',
    namespace: 'shop',
    hostname: 'web.shop.svc.cluster.local',
    addresses: [
      { network: 'n1', address: Uint8Array.of(10, 96, 0, 9) },
      { network: 'n1', address: Uint8Array.from([0xfd, ...Array<number>(14).fill(0), 9]) },
    ],
    ports: [
      { servicePort: 80, targetPort: 0, appProtocol: AppProtocol.HTTP11 },
      { servicePort: 81, targetPort: 81, appProtocol: AppProtocol.UNKNOWN },
    ],
    ipFamilies: IPFamilies.DUAL,
    canonical: true,
  });
});

it('gives a headless service no address', () => {
  expect(convert('', 'clusterIP: None, clusterIPs: [None]')?.addresses).toEqual([]);
});

it('ignores ExternalName', () => {
  expect(convert('', 'type: ExternalName, externalName: example.com')).toBeUndefined();
});

const zones = { mode: Mode.FAILOVER, routingPreference: [Scope.NETWORK, Scope.REGION, Scope.ZONE] };
const annotated = (value: string): string =>
  `, annotations: { networking.istio.io/traffic-distribution: ${value} }`;

it.each([
  ['nothing', '', '', undefined, undefined],
  ['trafficDistribution', '', 'trafficDistribution: PreferClose', undefined, zones],
  ['PreferSameZone', '', 'trafficDistribution: PreferSameZone', undefined, zones],
  [
    'PreferSameNode',
    '',
    'trafficDistribution: PreferSameNode',
    undefined,
    {
      mode: Mode.FAILOVER,
      routingPreference: [Scope.NETWORK, Scope.REGION, Scope.ZONE, Scope.SUBZONE, Scope.NODE],
    },
  ],
  ['the annotation in any case', annotated('preferclose'), '', undefined, zones],
  ['the namespace', '', '', 'PreferClose', zones],
  ['Any on the service over the namespace', annotated('Any'), '', 'PreferClose', undefined],
  ['an unknown value, so the namespace', annotated('Whatever'), '', 'PreferClose', zones],
  [
    'internalTrafficPolicy Local first',
    annotated('PreferClose'),
    'internalTrafficPolicy: Local',
    undefined,
    {
      mode: Mode.STRICT,
      routingPreference: [Scope.NODE],
    },
  ],
  [
    'publishNotReadyAddresses',
    '',
    'publishNotReadyAddresses: true',
    undefined,
    { healthPolicy: HealthPolicy.ALLOW_ALL },
  ],
  [
    'both',
    '',
    'publishNotReadyAddresses: true, trafficDistribution: PreferClose',
    undefined,
    {
      ...zones,
      healthPolicy: HealthPolicy.ALLOW_ALL,
    },
  ],
])('balances load by %s', (_what, metadata, spec, namespace, expected) => {
  expect(convert(metadata, spec, namespace)?.loadBalancing).toEqual(expected);
});

it.each([
  ['name: http-web', AppProtocol.HTTP11],
  ['name: http2', AppProtocol.HTTP2],
  ['name: grpc-api', AppProtocol.GRPC],
  ['name: grpc-web-ui', AppProtocol.HTTP11],
  ['name: https', AppProtocol.TLS],
  ['name: web', AppProtocol.UNKNOWN],
  ['name: web, appProtocol: kubernetes.io/h2c', AppProtocol.HTTP2],
  ['name: http, appProtocol: tcp', AppProtocol.TCP],
])('reads the protocol of { %s }', (port, expected) => {
  expect(convert('', `ports: [{ port: 1, ${port} }]`)?.ports?.[0]?.appProtocol).toBe(expected);
});
