import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import {
  type ApplyOptions,
  KubernetesError,
  type KubernetesObject,
  type ResourceType,
  type UntypedObject,
} from '@weft/kubernetes';
import { ManualClock, silentLogger } from '@weft/telemetry';
import { createMesh } from '../ambient/test-mesh.ts';
import { runGatewayController } from './gateway-controller.ts';

const waypointClass =
  '{ kind: GatewayClass, metadata: { name: istio-waypoint, generation: 1 }, spec: { controllerName: istio.io/mesh-controller } }';
const gateway = (infrastructure = '', metadata = ''): string => `
kind: Gateway
metadata: { name: wp, namespace: shop, uid: u, generation: 1 ${metadata} }
spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] ${infrastructure} }`;
const owned = {
  labels: { 'gateway.istio.io/managed': 'istio.io-mesh-controller' },
  ownerReferences: [{ uid: 'u' }],
};

/** An API server's objects, by `Kind name`; what was asked of it, in order. */
class Objects {
  readonly held = new Map<string, KubernetesObject>();
  readonly log: string[] = [];

  get = (type: ResourceType, name: string): Promise<never> => {
    const found = this.held.get(`${type.kind} ${name}`);
    return found === undefined
      ? Promise.reject(new KubernetesError(`GET ${name}`, 404, {}))
      : Promise.resolve(found as never); // as generic as the client's own
  };

  apply = (type: ResourceType, object: UntypedObject, o: ApplyOptions): Promise<never> => {
    const { name = '' } = object.metadata;
    const sub = o.subresource === undefined ? '' : `/${o.subresource}`;
    this.log.push(`apply ${type.kind}${sub} ${name}`);
    if (sub === '') this.held.set(`${type.kind} ${name}`, object);
    return Promise.resolve(object as never); // likewise
  };

  delete = (type: ResourceType, name: string): Promise<void> => {
    this.log.push(`delete ${type.kind} ${name}`);
    this.held.delete(`${type.kind} ${name}`);
    return Promise.resolve();
  };
}

function start() {
  const mesh = createMesh();
  const api = new Objects();
  const clock = new ManualClock();
  const stop = new AbortController();
  runGatewayController({
    ...mesh,
    client: api,
    clock,
    logger: silentLogger,
    signal: stop.signal,
  });
  /** What was asked since the last time, once nothing more comes. */
  const settle = async (): Promise<string[]> => {
    mesh.flush();
    for (let i = 0; i < 50; i++) await turn();
    return api.log.splice(0);
  };
  return { mesh, api, clock, settle, stop: () => stop.abort() };
}

const made = ['apply ServiceAccount wp', 'apply Service wp', 'apply Deployment wp'];

describe('the gateway controller', () => {
  it('makes the class, and accepts it when it is there', async () => {
    const { mesh, settle } = start();
    expect(await settle()).toEqual(['apply GatewayClass istio-waypoint']);
    mesh.apply(waypointClass);
    expect(await settle()).toEqual(['apply GatewayClass/status istio-waypoint']);
  });

  it('leaves alone a class of that name that somebody else runs', async () => {
    const { mesh, settle } = start();
    await settle();
    mesh.apply(waypointClass.replace('istio.io/mesh-controller', 'example.com/other'), gateway());
    expect(await settle()).toEqual([]);
  });

  it('makes what a waypoint Gateway stands for, and makes it again when that changes', async () => {
    const { mesh, settle } = start();
    mesh.apply(waypointClass, gateway());
    expect(await settle()).toEqual(expect.arrayContaining([...made, 'apply Gateway/status wp']));
    mesh.apply(gateway(', infrastructure: { labels: { team: a } }'));
    expect(await settle()).toEqual(expect.arrayContaining(made));
  });

  it('puts back what others changed or deleted', async () => {
    const { mesh, settle } = start();
    mesh.apply(waypointClass, gateway());
    await settle();
    mesh.sources.managedDeployments.set('shop/wp', 2);
    expect(await settle()).toEqual(made);
    mesh.sources.serviceAccounts.set('shop/wp', true);
    await settle();
    mesh.sources.serviceAccounts.delete('shop/wp');
    expect(await settle()).toEqual(made);
    const service =
      '{ kind: Service, metadata: { name: wp, namespace: shop, labels: { gateway.networking.k8s.io/gateway-name: wp } } }';
    mesh.apply(service);
    expect(await settle()).toEqual(expect.arrayContaining(made));
  });

  it('never touches an object of that name that is not its own, and tries again later', async () => {
    const { mesh, api, clock, settle } = start();
    api.held.set('Deployment wp', { metadata: { name: 'wp', namespace: 'shop' } });
    mesh.apply(waypointClass, gateway());
    expect(await settle()).not.toContain('apply Deployment wp');
    expect(api.held.get('Deployment wp')).toEqual({ metadata: { name: 'wp', namespace: 'shop' } });
    api.held.delete('Deployment wp');
    await clock.advance(1_000);
    expect(await settle()).toContain('apply Deployment wp');
  });

  it('takes a service account that the user brought as it is', async () => {
    const { mesh, api, settle } = start();
    api.held.set('ServiceAccount wp', { metadata: { name: 'wp', namespace: 'shop' } });
    mesh.apply(waypointClass, gateway());
    const log = await settle();
    expect(log).toEqual(expect.arrayContaining(made.slice(1)));
    expect(log).not.toContain('apply ServiceAccount wp');
  });

  it('makes nothing of a Gateway that is deployed by hand, of another revision, or deleted', async () => {
    const { mesh, settle } = start();
    mesh.apply(waypointClass);
    await settle();
    mesh.apply(gateway(', addresses: [{ type: Hostname, value: own.shop.svc.cluster.local }]'));
    expect(await settle()).toEqual(['apply Gateway/status wp']);
    mesh.apply(gateway('', ', labels: { istio.io/rev: other }'));
    expect(await settle()).toEqual([]);
    mesh.sources.gateways.delete('shop/wp');
    expect(await settle()).toEqual([]);
  });

  it('waits for the parameters of a Gateway, and says when they are no good', async () => {
    const { mesh, settle } = start();
    mesh.apply(waypointClass);
    await settle();
    mesh.apply(gateway(', infrastructure: { parametersRef: { group: "", kind: ConfigMap, name: o } }'));
    expect(await settle()).toEqual([]);
    const options = (data: string): string =>
      `{ kind: ConfigMap, metadata: { name: o, namespace: shop }, data: { ${data} } }`;
    mesh.apply(options('nonsense: x'));
    expect(await settle()).toEqual(['apply Gateway/status wp']);
    expect(mesh.gateways.statuses.get('shop/wp')?.conditions[0]).toMatchObject({
      reason: 'InvalidParameters',
    });
    mesh.apply(options('horizontalPodAutoscaler: "spec: { maxReplicas: 3 }"'));
    expect(await settle()).toEqual(expect.arrayContaining([...made, 'apply HorizontalPodAutoscaler wp']));
  });

  it('withdraws a scaler that no overlay asks for any more, but only its own', async () => {
    const { mesh, api, settle } = start();
    api.held.set('HorizontalPodAutoscaler wp', { metadata: { name: 'wp', ...owned } as never }); // what the test needs of it
    api.held.set('PodDisruptionBudget wp', { metadata: { name: 'wp' } });
    mesh.apply(waypointClass, gateway());
    const log = await settle();
    expect(log).toContain('delete HorizontalPodAutoscaler wp');
    expect(log).not.toContain('delete PodDisruptionBudget wp');
  });
});
