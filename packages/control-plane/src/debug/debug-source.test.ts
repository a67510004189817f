import { BinaryReader } from '@bufbuild/protobuf/wire';
import grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { ADS_METHOD, EnvoyTypeUrl, Label, TypeUrl } from '@weft/api';
import { envoy } from '@weft/api/discovery';
import { envoyToJson } from '@weft/api/envoy-json';
import type { KubernetesObject } from '@weft/kubernetes';
import { yaml } from '../ambient/test-objects.ts';
import type { ControlPlane } from '../control-plane.ts';
import { TestCluster, until } from '../testing/test-cluster.ts';

const { DiscoveryRequest, DiscoveryResponse } = envoy.service.discovery.v3;

let cluster: TestCluster;
let controlPlane: ControlPlane;

beforeEach(async () => {
  cluster = await TestCluster.start();
  controlPlane = await cluster.controlPlane();
});

afterEach(() => cluster.close());

/** As istioctl asks: one request, one answer. Undefined when none comes before the answer to another type. */
async function ask(typeUrl: string, names: readonly string[], o: { readonly token?: string } = {}) {
  const { ports } = controlPlane;
  const metadata = new grpc.Metadata();
  if (o.token !== undefined) metadata.set('authorization', `Bearer ${o.token}`);
  const client =
    o.token === undefined
      ? new grpc.Client(`127.0.0.1:${ports.plaintextXds}`, grpc.credentials.createInsecure())
      : new grpc.Client(`localhost:${ports.xds}`, cluster.trust(controlPlane));
  const call = client.makeBidiStreamRequest(
    ADS_METHOD,
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => DiscoveryResponse.decode(bytes),
    metadata,
  );
  try {
    return await new Promise<{ type_url: string; value: Uint8Array }[] | undefined>((resolve, reject) => {
      call.on('error', reject);
      call.on('data', (response: InstanceType<typeof DiscoveryResponse>) => {
        if (response.typeUrl !== typeUrl) return resolve(undefined);
        resolve(
          response.resources.map(({ type_url, value }) => ({
            type_url: type_url ?? '',
            value: value ?? new Uint8Array(),
          })),
        );
      });
      const node = { id: 'debug~0.0.0.0~istioctl~cluster.local' };
      for (const request of [
        { node, typeUrl, resourceNames: [...names] },
        { node, typeUrl: TypeUrl.authorization },
      ])
        call.write(Buffer.from(DiscoveryRequest.encode(request).finish()));
    });
  } finally {
    call.on('error', () => undefined);
    call.cancel();
    client.close();
  }
}

/** Fields of a message whose values are messages, strings or numbers, by another decoder than ours. */
function fields(bytes: Uint8Array): Map<number, (Uint8Array | number)[]> {
  const found = new Map<number, (Uint8Array | number)[]>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const value = wireType === 0 ? Number(reader.int64()) : reader.bytes();
    found.set(number, [...(found.get(number) ?? []), value]);
  }
  return found;
}

const bytesOf = (value: Uint8Array | number | undefined): Uint8Array =>
  value instanceof Uint8Array ? value : new Uint8Array();
const text = (value: Uint8Array | number | undefined): string => Buffer.from(bytesOf(value)).toString();

it('tells istioctl over xDS what each proxy has', async () => {
  await cluster.connected(controlPlane, 'ztunnel-n1', { CLUSTER_ID: 'Kubernetes' });
  const SYNCED = 1;
  await until(async () => {
    const answer = await ask('istio.io/debug/syncz', []);
    const configs = (answer ?? []).map(({ type_url, value }) => {
      expect(type_url).toBe('type.googleapis.com/envoy.service.status.v3.ClientConfig');
      const config = fields(value);
      const node = text(fields(bytesOf(config.get(1)?.[0])).get(1)?.[0]);
      const types = (config.get(3) ?? []).map((generic) => fields(bytesOf(generic)));
      return { node, states: types.map((type) => [text(type.get(1)?.[0]), type.get(6)?.[0]]) };
    });
    const ztunnel = configs.find(({ node }) => node.startsWith('ztunnel~'));
    return (
      JSON.stringify(ztunnel?.states) ===
      JSON.stringify([
        [TypeUrl.authorization, SYNCED],
        [TypeUrl.address, SYNCED],
      ])
    );
  });
});

it('shows the pages of its debug port over xDS, by name', async () => {
  const [page] = (await ask('istio.io/debug', ['registryz?namespace=shop'])) ?? [];
  expect(JSON.parse(text(page?.value))).toEqual([]);
  expect(await ask('istio.io/debug', ['nothing'])).toEqual([]);
});

it('tells those who show a token only if it is of the system namespace', async () => {
  expect(await ask('istio.io/debug', ['mesh'], { token: 'web' })).toBeUndefined();
  expect(await ask('istio.io/debug', ['mesh'], { token: 'ztunnel-n1' })).toHaveLength(1);
});

it('lists proxies and Services as istiod does', async () => {
  await cluster.connected(controlPlane, 'ztunnel-n1', { CLUSTER_ID: 'Kubernetes', ISTIO_VERSION: '1.32.0' });
  cluster.api.put('/api/v1/services', {
    metadata: { name: 'web', namespace: 'shop' },
    spec: {
      selector: { app: 'web' },
      clusterIPs: ['10.96.0.1'],
      ports: [{ name: 'http', port: 80, appProtocol: 'http' }],
    },
  } as never); // a Service, of which the fake knows only that it is an object
  const get = async (page: string): Promise<unknown> =>
    (await fetch(`http://127.0.0.1:${controlPlane.ports.metrics}/debug/${page}`)).json();
  expect(await get('syncz')).toEqual([
    expect.objectContaining({
      cluster_id: 'Kubernetes',
      proxy: 'ztunnel-n1.istio-system',
      proxy_type: 'ztunnel',
      istio_version: '1.32.0',
      address_sent: expect.stringMatching(/\/Address\/\d+$/),
    }),
  ]);
  expect(await get('adsz')).toMatchObject({
    totalClients: 1,
    clients: [{ watches: { [TypeUrl.address]: '*' } }],
  });
  await until(async () => JSON.stringify(await get('endpointz')).includes('web.shop.svc.cluster.local:80'));
  expect(await get('registryz')).toMatchObject([
    {
      Attributes: { Name: 'web', Namespace: 'shop', LabelSelectors: { app: 'web' } },
      hostname: 'web.shop.svc.cluster.local',
      clusterVIPs: { Addresses: { Kubernetes: ['10.96.0.1'] } },
      ports: [{ name: 'http', port: 80, protocol: 'http' }],
    },
  ]);
  expect(await get('endpointz')).toMatchObject([
    {
      svc: 'web.shop.svc.cluster.local:80',
      ep: [{ Addresses: ['10.0.0.5'], EndpointPort: 80, HealthStatus: 1 }],
    },
  ]);
});

it('dumps what a waypoint is sent, as Envoy does, over HTTP and over xDS', async () => {
  const put = (path: string, text: string): void => void cluster.api.put(path, yaml<KubernetesObject>(text));
  const gateways = '/apis/gateway.networking.k8s.io/v1';
  put(
    `${gateways}/gatewayclasses`,
    '{ metadata: { name: istio-waypoint }, spec: { controllerName: istio.io/mesh-controller } }',
  );
  put(
    `${gateways}/gateways`,
    `
metadata: { name: wp, namespace: shop, generation: 1 }
spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }
status:
  addresses: [{ type: IPAddress, value: 10.96.0.9 }]
  conditions: [{ type: Programmed, status: "True" }]`,
  );
  put(
    '/api/v1/services',
    `
metadata: { name: web, namespace: shop, labels: { istio.io/use-waypoint: wp } }
spec: { selector: { app: web }, clusterIPs: [10.96.0.1], ports: [{ name: http, port: 80 }] }`,
  );
  const client = new grpc.Client(
    `127.0.0.1:${controlPlane.ports.plaintextXds}`,
    grpc.credentials.createInsecure(),
  );
  const call = client.makeBidiStreamRequest(
    ADS_METHOD,
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
  );
  call.on('error', () => undefined);
  call.on('data', () => undefined);
  try {
    const labels = { structValue: { fields: { [Label.gatewayName]: { stringValue: 'wp' } } } };
    const metadata = { fields: { NAMESPACE: { stringValue: 'shop' }, LABELS: labels } };
    const node = { id: 'waypoint~10.0.0.9~wp-1.shop~shop.svc.cluster.local', metadata };
    call.write(Buffer.from(DiscoveryRequest.encode({ node, typeUrl: EnvoyTypeUrl.cluster }).finish()));
    const get = async (page: string): Promise<string> =>
      (await fetch(`http://127.0.0.1:${controlPlane.ports.metrics}/debug/${page}`)).text();
    const cluster80 = 'web.shop.svc.cluster.local';
    await until(async () => (await get('config_dump?proxyID=wp-1.shop')).includes(cluster80));
    const { configs } = JSON.parse(await get('config_dump?proxyID=wp-1.shop')) as {
      configs: { '@type': string }[];
    };
    const types = ['Clusters', 'Listeners', 'Routes', 'Endpoints'].map(
      (kind) => `type.googleapis.com/envoy.admin.v3.${kind}ConfigDump`,
    );
    expect(configs.map((section) => section['@type'])).toEqual(types);
    expect(configs[1]).toMatchObject({
      dynamic_listeners: expect.arrayContaining([
        expect.objectContaining({
          name: 'main_internal',
          active_state: {
            version_info: expect.stringMatching(/^[0-9a-f]{16}$/),
            listener: expect.objectContaining({ '@type': EnvoyTypeUrl.listener, name: 'main_internal' }),
          },
        }),
      ]),
    });
    const overXds = (await ask('istio.io/debug/config_dump', ['wp-1.shop'])) ?? [];
    expect(overXds.map(({ type_url }) => type_url)).toEqual(types);
    expect(
      overXds.map(({ value }, i) => ({
        '@type': types[i],
        ...(envoyToJson(`envoy.admin.v3.${types[i]?.split('.').at(-1) ?? ''}`, value) as object), // a message's
      })),
    ).toEqual(configs.map((section) => expect.objectContaining({ '@type': section['@type'] })));
    expect(text(overXds[0]?.value)).toContain(cluster80);
    expect(JSON.parse(await get('edsz?proxyID=wp-1.shop'))).not.toEqual([]);
    expect((await get('config_dump?proxyID=nobody.shop')).trim()).toContain('not connected');
    expect(JSON.parse(await get('instancesz'))).toEqual({ [node.id]: [] });
  } finally {
    call.cancel();
    client.close();
  }
});

it('shows what users configured, clusters, networks and what is wrong, as istiod does', async () => {
  cluster.api.put(
    '/apis/security.istio.io/v1/authorizationpolicies',
    yaml<KubernetesObject>(`
metadata: { name: deny, namespace: shop, annotations: { note: x } }
spec: { action: DENY, rules: [{}] }`),
  );
  cluster.api.put(
    '/api/v1/pods',
    yaml<KubernetesObject>(
      '{ metadata: { name: pending, namespace: shop, uid: pending }, status: { phase: Pending } }',
    ),
  );
  const get = async (page: string): Promise<unknown> =>
    (await fetch(`http://127.0.0.1:${controlPlane.ports.metrics}/debug/${page}`)).json();
  await until(async () => JSON.stringify(await get('configz')) !== '[]');
  const spec = { action: 'DENY', rules: [{}] };
  expect(await get('configz?namespace=shop')).toEqual([
    {
      kind: 'AuthorizationPolicy',
      apiVersion: 'security.istio.io/v1',
      metadata: { name: 'deny', namespace: 'shop' },
      spec,
    },
  ]);
  expect(await get('configz?namespace=bank')).toEqual([]);
  expect(await get('authorizationz')).toEqual({
    authorization_policies: {
      namespace_to_policies: {
        shop: [{ name: 'deny', namespace: 'shop', annotations: { note: 'x' }, spec }],
      },
      root_namespace: 'istio-system',
    },
  });
  expect(await get('clusterz')).toEqual([{ id: 'Kubernetes', secretName: '', syncStatus: 'synced' }]);
  expect(await get('networkz')).toEqual([]);
  await until(async () => JSON.stringify(await get('push_status')).includes('shop/pending'));
  expect(await get('push_status')).toEqual({ pilot_no_ip: { 'shop/pending': {} } });
});
