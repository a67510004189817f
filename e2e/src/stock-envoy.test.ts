import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from '@jest/globals';
import { ServedTypes, createMesh, goldenCases, goldenObjects } from '@weft/control-plane/testing';
import { Sandbox, skipIf } from '@weft/linux/testing';
import { findEnvoy } from '@weft/proxy/testing';
import { DeltaServer } from '@weft/xds';
import { eventually } from './kit/eventually.ts';
import { addSecretDiscovery } from './kit/secret-discovery.ts';
import { StockEnvoy } from './kit/stock-envoy.ts';

/** What the control plane tells a waypoint, told to an Envoy that nobody prepared for it. */

const envoy = await findEnvoy();
const missing = envoy.kind === 'missing' ? envoy.reason : Sandbox.unavailable;

const TAKEN_MS = 20_000;
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const closer of closers.splice(0).reverse()) await closer();
});

async function connect(apiType: 'DELTA_GRPC' | 'GRPC') {
  if (envoy.kind === 'missing') throw new Error(envoy.reason);
  const directory = mkdtempSync(join(tmpdir(), 'weft-envoy-'));
  closers.push(() => rmSync(directory, { recursive: true, force: true }));
  const mesh = createMesh();
  const served = new ServedTypes({
    ...mesh,
    namespaces: mesh.sources.namespaces,
    pods: mesh.sources.pods,
    services: mesh.sources.services,
    clusterDomain: 'cluster.local',
  });
  const rejections: string[] = [];
  const discovery = new DeltaServer<undefined>({
    types: (node) => served.of(node, undefined),
    authenticate: () => Promise.resolve(undefined),
    debounceMs: 1,
    observer: { rejected: (typeUrl) => void rejections.push(typeUrl) },
  });
  const server = new grpc.Server();
  discovery.addTo(server);
  const identity = 'spiffe://cluster.local/ns/shop/sa/wp';
  await addSecretDiscovery(server, identity);
  const socket = join(directory, 'xds.sock');
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  closers.push(() => {
    discovery.close();
    server.forceShutdown();
  });
  const start = (): StockEnvoy => {
    const proxy = new StockEnvoy({
      binary: envoy.path,
      directory,
      adsSocket: socket,
      sdsSocket: socket,
      apiType,
      gateway: { namespace: 'shop', name: 'wp' },
    });
    closers.push(() => proxy.stop());
    return proxy;
  };
  /** Everything sent was taken, and nothing waits for something that doesn't come. */
  const settled = (proxy: StockEnvoy, what: string): Promise<void> =>
    eventually(TAKEN_MS, async () => {
      expect(rejections).toEqual([]);
      expect(await proxy.state()).toBe('LIVE');
      const types = discovery.connections().flatMap((connection) => connection.types);
      expect(types.map(({ typeUrl, state, error }) => ({ typeUrl, state, error }))).toEqual(
        types.map(({ typeUrl }) => ({ typeUrl, state: 'SYNCED', error: undefined })),
      );
      expect(await proxy.stats('warming|rejected')).toMatchObject({
        'cluster_manager.warming_clusters': 0,
        'listener_manager.total_listeners_warming': 0,
        'cluster_manager.cds.update_rejected': 0,
        'listener_manager.lds.update_rejected': 0,
      });
      const names = [...(mesh.networking.clusters.get('shop/wp')?.keys() ?? [])];
      expect([...(await proxy.clusters())].sort()).toEqual(names.sort());
    }).catch((error: unknown) => {
      throw new Error(`Envoy does not take ${what}:\n${proxy.log}`, { cause: error });
    });
  return { mesh, start, settled };
}

skipIf(missing, describe).each(['DELTA_GRPC', 'GRPC'] as const)(
  'a stock Envoy as a waypoint, by %s,',
  (apiType) => {
    it('takes every golden case, one after the other', async () => {
      const { mesh, start, settled } = await connect(apiType);
      mesh.apply(...goldenObjects('shared'));
      const proxy = start();
      await settled(proxy, 'the case shared');
      for (const name of goldenCases) {
        mesh.apply(...goldenObjects(name));
        await settled(proxy, `the case ${name}`);
      }
    }, 120_000);

    it('takes changes of clusters whose endpoints stay the same, and their end', async () => {
      const { mesh, start, settled } = await connect(apiType);
      const web = (port: string): string =>
        `{ kind: Service, metadata: { name: web, namespace: shop }, spec: { clusterIPs: [10.96.0.1], ports: [${port}] } }`;
      mesh.apply(...goldenObjects('shared'), web('{ name: http, port: 80 }'));
      const proxy = start();
      await settled(proxy, 'the first state');
      mesh.apply(web('{ name: http2, port: 80 }'));
      await settled(proxy, 'another protocol to the endpoints');
      mesh.sources.services.delete('shop/web');
      mesh.flush();
      await settled(proxy, 'the end of the Service');
    }, 60_000);
  },
);
