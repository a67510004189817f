import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { noProxyDefaults, parseProxyDefaults } from '../ambient/proxy-defaults.ts';
import { yaml } from '../ambient/test-objects.ts';
import { gatewayFacts } from '../sources/gateway-objects.ts';
import { type Overlay, parseOverlay } from './overlays.ts';
import { waypointObjects } from './waypoint-deployment.ts';

const overlay = (...texts: string[]): Overlay[] =>
  texts.map((text) => {
    const parsed = parseOverlay('shop/o', parse(text) as Record<string, string>);
    if (parsed.kind === 'invalid') throw new Error(parsed.message);
    return parsed.overlay;
  });

function objects(
  metadata: string,
  infrastructure = '',
  overlays: readonly Overlay[] = [],
  proxies = noProxyDefaults,
) {
  const gateway = gatewayFacts(
    yaml(`
metadata: { name: wp, namespace: shop, uid: u ${metadata} }
spec: { gatewayClassName: istio-waypoint ${infrastructure} }`),
  );
  const template = {
    image: 'weft/proxyv2:1',
    systemNamespace: 'istio-system',
    revision: 'canary',
    clusterId: 'Kubernetes',
    clusterDomain: 'cluster.local',
    network: 'east',
    trustDomain: 'cluster.local',
    proxies,
  };
  return waypointObjects(gateway, template, overlays).map(({ type, object }) => ({
    ...object,
    kind: type.kind,
  }));
}

describe('deployment of a waypoint', () => {
  it('is an account, a Service and a Deployment that go with the Gateway', () => {
    const made = objects('');
    expect(made.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`)).toEqual([
      'ServiceAccount shop/wp',
      'Service shop/wp',
      'Deployment shop/wp',
    ]);
    for (const { metadata } of made) {
      expect(metadata.ownerReferences).toEqual([
        { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', name: 'wp', uid: 'u' },
      ]);
      expect(metadata.labels).toEqual({
        'gateway.networking.k8s.io/gateway-name': 'wp',
        'gateway.networking.k8s.io/gateway-class-name': 'istio-waypoint',
        'gateway.istio.io/managed': 'istio.io-mesh-controller',
      });
    }
  });

  it('leaves the number of replicas to users and autoscalers, and asks the control plane of its revision', () => {
    const [, , deployment] = objects('');
    expect(deployment).not.toHaveProperty('spec.replicas');
    const env: unknown = expect.arrayContaining([
      { name: 'CA_ADDR', value: 'istiod-canary.istio-system.svc:15012' },
      { name: 'ISTIO_META_NETWORK', value: 'east' },
    ]);
    expect(deployment).toMatchObject({
      spec: {
        template: {
          metadata: { labels: { 'istio.io/dataplane-mode': 'none', 'sidecar.istio.io/inject': 'false' } },
          spec: { serviceAccountName: 'wp', containers: [{ image: 'weft/proxyv2:1', env }] },
        },
      },
    });
  });

  it('starts proxies as the defaultConfig of the mesh says, but for who they are', () => {
    const proxies = parseProxyDefaults({
      concurrency: 4,
      terminationDrainDuration: '60s',
      proxyMetadata: { ISTIO_META_EXTRA: 'a', POD_NAMESPACE: 'other' },
    });
    const [, , deployment] = objects('', '', [], proxies);
    const controlPlane = 'istiod-canary.istio-system.svc:15012';
    const proxyConfig = { discoveryAddress: controlPlane, ...proxies.fields };
    expect(deployment).toMatchObject({
      spec: {
        template: {
          spec: {
            terminationGracePeriodSeconds: 70,
            containers: [
              {
                env: expect.arrayContaining([
                  { name: 'PROXY_CONFIG', value: JSON.stringify(proxyConfig) },
                  { name: 'ISTIO_META_EXTRA', value: 'a' },
                ]),
              },
            ],
          },
        },
      },
    });
    expect(JSON.stringify(deployment).split('"POD_NAMESPACE"')).toHaveLength(2);
    expect(() => parseProxyDefaults({ proxyMetadata: { 'A=B': 'x' } })).toThrow(
      'defaultConfig.proxyMetadata.A=B',
    );
    expect(() => parseProxyDefaults({ terminationDrainDuration: '2h' })).toThrow('is longer than an hour');
    expect(() => parseProxyDefaults([])).toThrow('defaultConfig is not a mapping');
  });

  it('takes names and the type of the Service from annotations', () => {
    const annotations =
      ', annotations: { gateway.istio.io/name-override: n, gateway.istio.io/service-account: a, networking.istio.io/service-type: LoadBalancer }';
    const made = objects(annotations);
    expect(made.map(({ metadata }) => metadata.name)).toEqual(['a', 'n', 'n']);
    expect(made[1]).toMatchObject({ spec: { type: 'LoadBalancer' } });
    expect(made[2]).toMatchObject({ spec: { template: { spec: { serviceAccountName: 'a' } } } });
  });

  it.each([
    ["copies the Gateway's own labels", ', labels: { team: a }', '', 'a'],
    [
      'prefers those of infrastructure',
      ', labels: { team: a }',
      ', infrastructure: { labels: { team: b } }',
      'b',
    ],
    [
      'copies none when infrastructure speaks',
      ', labels: { team: a }',
      ', infrastructure: { annotations: { x: y } }',
      undefined,
    ],
  ])('%s', (_case, metadata, infrastructure, team) => {
    for (const { metadata: made } of objects(metadata, infrastructure)) {
      expect(made.labels?.['team']).toBe(team);
    }
  });

  it('never lets labels of the user take the place of those that select its pods', () => {
    const [, service] = objects(', labels: { gateway.networking.k8s.io/gateway-name: other }');
    expect(service?.metadata.labels).toMatchObject({ 'gateway.networking.k8s.io/gateway-name': 'wp' });
  });

  it('is changed by overlays, of which the last has the last word', () => {
    const first =
      '{ deployment: "spec: { replicas: 2, template: { spec: { containers: [{ name: istio-proxy, resources: { requests: { cpu: 1 } } }] } } }" }';
    const second = `{ deployment: "spec: { replicas: 3, template: { spec: { nodeSelector: { a: b }, containers: [{ name: more, image: x }] } } }",
      service: "spec: { type: NodePort }", serviceAccount: "metadata: { annotations: { role: r } }" }`;
    const [account, service, deployment] = objects('', '', overlay(first, second));
    expect(account).toMatchObject({ metadata: { annotations: { role: 'r' } } });
    expect(service).toMatchObject({ spec: { type: 'NodePort', ports: [{ port: 15021 }, { port: 15008 }] } });
    const image = 'weft/proxyv2:1';
    const resources = { requests: { cpu: 1, memory: '128Mi' }, limits: { cpu: '2' } };
    const containers = [{ name: 'istio-proxy', image, resources }, { name: 'more' }];
    expect(deployment).toMatchObject({
      spec: { replicas: 3, template: { spec: { nodeSelector: { a: 'b' }, containers } } },
    });
  });

  it('has a scaler and a disruption budget when an overlay speaks of them', () => {
    const made = objects(
      '',
      '',
      overlay(
        '{ horizontalPodAutoscaler: "spec: { maxReplicas: 5 }", podDisruptionBudget: "spec: { minAvailable: 1 }" }',
      ),
    );
    expect(made.slice(3)).toMatchObject([
      {
        kind: 'HorizontalPodAutoscaler',
        spec: { maxReplicas: 5, scaleTargetRef: { kind: 'Deployment', name: 'wp' } },
      },
      {
        kind: 'PodDisruptionBudget',
        spec: {
          minAvailable: 1,
          selector: { matchLabels: { 'gateway.networking.k8s.io/gateway-name': 'wp' } },
        },
      },
    ]);
  });

  it('keeps its names, its owner and its own labels whatever an overlay says', () => {
    const text =
      '{ service: "metadata: { name: other, namespace: x, ownerReferences: [], labels: { gateway.istio.io/managed: me, team: a } }" }';
    const [, service] = objects('', '', overlay(text));
    expect(service?.metadata).toMatchObject({
      name: 'wp',
      namespace: 'shop',
      ownerReferences: [{ uid: 'u' }],
      labels: { 'gateway.istio.io/managed': 'istio.io-mesh-controller', team: 'a' },
    });
  });
});
