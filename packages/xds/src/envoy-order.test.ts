import grpc from '@grpc/grpc-js';
import { ADS_METHOD, DELTA_ADS_METHOD } from '@weft/api';
import { envoy } from '@weft/api/discovery';
import { afterEach, describe, expect, it } from '@jest/globals';
import { DeltaServer } from './delta-server.ts';
import { MemorySource } from './resource-source.ts';
import { versionedResource } from './resource.ts';

/** What Envoy needs of the order of pushes, on both wires, seen from a client that notes what it gets. */

const { DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse } =
  envoy.service.discovery.v3;
const url = (type: string): string => `type.googleapis.com/test.${type}`;
const wires = ['delta', 'sotw'] as const;
const resource = (name: string, text = '') => versionedResource(name, Buffer.from(`${name}${text}`));

const closers: (() => void)[] = [];
afterEach(() => {
  for (const closer of closers.splice(0).reverse()) closer();
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function connect(wire: (typeof wires)[number]) {
  const clusters = new MemorySource(url('Cluster'));
  const endpoints = new MemorySource(url('Endpoints'));
  const listeners = new MemorySource(url('Listener'));
  const ads = new DeltaServer<undefined>({
    types: [
      { source: clusters, removals: 'last' },
      {
        source: endpoints,
        byNameOnly: true,
        completes: { typeUrl: url('Cluster'), named: (name) => name.split('~')[0] ?? '' },
      },
      { source: listeners },
    ],
    authenticate: () => Promise.resolve(undefined),
    debounceMs: 5,
  });
  const server = new grpc.Server();
  ads.addTo(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  const keep = (bytes: Buffer): Buffer => bytes;
  const method = wire === 'delta' ? DELTA_ADS_METHOD : ADS_METHOD;
  const call = client.makeBidiStreamRequest(method, keep, keep);
  closers.push(() => {
    call.cancel();
    client.close();
    ads.close();
    server.forceShutdown();
  });
  call.on('error', () => undefined);
  const received: string[] = [];
  call.on('data', (bytes: Buffer) => {
    const { typeUrl, resources, removed } = wire === 'delta' ? readDelta(bytes) : readState(bytes);
    const names = resources.map((any) => Buffer.from(any?.value ?? []).toString('utf8'));
    received.push([typeUrl.split('.').at(-1), ...names, ...removed.map((name) => `-${name}`)].join(' '));
  });
  const node = { id: 'waypoint' };
  const request = (type: string, names: string[], known: Record<string, string> = {}): void => {
    const typeUrl = url(type);
    const message =
      wire === 'delta'
        ? DeltaDiscoveryRequest.encode({
            node,
            typeUrl,
            resourceNamesSubscribe: names,
            initialResourceVersions: known,
          })
        : DiscoveryRequest.encode({ node, typeUrl, resourceNames: names });
    call.write(Buffer.from(message.finish()));
  };
  /** What came since it was asked last, once there is that much. */
  const next = async (count: number): Promise<string[]> => {
    await until(() => received.length >= count);
    return received.splice(0);
  };
  return { clusters, endpoints, listeners, request, next };
}

function readState(bytes: Buffer) {
  const { typeUrl, resources } = DiscoveryResponse.decode(bytes);
  return { typeUrl, resources, removed: [] as readonly string[] };
}

function readDelta(bytes: Buffer) {
  const { typeUrl, resources, removedResources } = DeltaDiscoveryResponse.decode(bytes);
  return { typeUrl, resources: resources.map(({ resource: any }) => any), removed: removedResources };
}

describe.each(wires)('over %s, Envoy', (wire) => {
  it('gets the endpoints of a cluster that changed again, after it, though they are the same', async () => {
    const { clusters, endpoints, request, next } = await connect(wire);
    clusters.update({ upserted: [resource('a'), resource('b')] });
    endpoints.update({ upserted: [resource('a'), resource('b~shop')] });
    request('Cluster', []);
    request('Endpoints', ['a', 'b~shop']);
    await next(2);
    clusters.update({ upserted: [resource('a', '!')] });
    const [first, second] = await next(2);
    expect(first).toContain('Cluster a!');
    expect(second).toBe('Endpoints a');
    clusters.update({ upserted: [resource('b', '!')] });
    const [third, fourth] = await next(2);
    expect(third).toContain('b!');
    expect(fourth).toBe('Endpoints b~shop');
  });

  it('gets no endpoints that it did not name', async () => {
    const { endpoints, listeners, request, next } = await connect(wire);
    endpoints.update({ upserted: [resource('a')] });
    listeners.update({ upserted: [resource('l')] });
    request('Endpoints', []);
    request('Listener', []);
    expect(await next(2)).toEqual(['Endpoints', 'Listener l']);
  });

  it('loses a cluster after the listeners that referred to it have changed', async () => {
    const { clusters, listeners, request, next } = await connect(wire);
    clusters.update({ upserted: [resource('a'), resource('b')] });
    listeners.update({ upserted: [resource('l')] });
    request('Cluster', []);
    request('Listener', []);
    await next(2);
    clusters.update({ removed: ['b'], upserted: [resource('c')] });
    listeners.update({ upserted: [resource('l', '!')] });
    expect(await next(3)).toEqual(
      wire === 'delta'
        ? ['Cluster c', 'Listener l!', 'Cluster -b']
        : ['Cluster a c b', 'Listener l!', 'Cluster a c'],
    );
  });
});

it('gets endpoints over delta that it knows from before, as it may be waiting for them', async () => {
  const { clusters, endpoints, request, next } = await connect('delta');
  const known = resource('a');
  clusters.update({ upserted: [known] });
  endpoints.update({ upserted: [known] });
  request('Cluster', [], { a: known.version });
  request('Endpoints', ['a'], { a: known.version });
  expect(await next(2)).toEqual(['Cluster', 'Endpoints a']);
});
