import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { KubernetesObject } from '@weft/kubernetes';
import { yaml } from '../ambient/test-objects.ts';
import { TestCluster } from '../testing/test-cluster.ts';
import { parseCluster, parseTarget, targetsOf } from './names.ts';

describe('the names of gRPC targets', () => {
  const web = { namespace: 'shop', name: 'web', port: 80 };
  it.each([
    ['web:80', web],
    ['web.shop:80', web],
    ['web.shop.svc:80', web],
    ['web.shop.svc.cluster.local:80', web],
    ['web.other:80', { ...web, namespace: 'other' }],
    ['web', undefined],
    ['web:', undefined],
    ['web:0', undefined],
    ['web:123456', undefined],
    ['web.shop.svc.elsewhere:80', undefined],
    ['web.shop.cluster.local:80', undefined],
    ['.shop:80', undefined],
  ])('%s', (target, parsed) => {
    expect(parseTarget(target, 'shop', 'cluster.local')).toEqual(parsed);
  });

  it('lead back to what they name', () => {
    for (const namespace of ['shop', 'other']) {
      const targets = targetsOf(web, namespace, 'cluster.local');
      expect(targets).toHaveLength(namespace === 'shop' ? 4 : 3);
      for (const target of targets) expect(parseTarget(target, namespace, 'cluster.local')).toEqual(web);
    }
    expect(parseCluster('outbound|80||web.shop.svc.cluster.local', 'cluster.local')).toEqual(web);
    expect(parseCluster('outbound|80||web.shop.svc.x', 'cluster.local')).toBeUndefined();
    expect(parseCluster('inbound|80||web.shop.svc.cluster.local', 'cluster.local')).toBeUndefined();
  });
});

describe('@grpc/grpc-js-xds without a proxy', () => {
  let cluster: TestCluster;
  let client: ChildProcess;
  let answers: AsyncIterator<string>;
  const backends: grpc.Server[] = [];
  let port = 0;

  beforeEach(async () => {
    cluster = await TestCluster.start();
    const controlPlane = await cluster.controlPlane();
    for (const address of ['127.0.0.11', '127.0.0.12']) port = await backend(address, port);
    const bootstrap = {
      xds_servers: [
        {
          server_uri: `localhost:${controlPlane.ports.plaintextXds}`,
          channel_creds: [{ type: 'insecure' }],
          server_features: ['xds_v3'],
        },
      ],
      node: {
        id: 'sidecar~127.0.0.1~client.shop~shop.svc.cluster.local',
        locality: {},
        metadata: { GENERATOR: 'grpc', NAMESPACE: 'shop' },
      },
    };
    const script = fileURLToPath(new URL('../testing/proxyless-client.worker.js', import.meta.url));
    client = spawn(process.execPath, [script], {
      env: { ...process.env, GRPC_XDS_BOOTSTRAP_CONFIG: JSON.stringify(bootstrap) },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (client.stdout === null) throw new Error('no output');
    answers = createInterface({ input: client.stdout })[Symbol.asyncIterator]();
  });

  afterEach(async () => {
    client.kill();
    if (client.exitCode === null && client.signalCode === null) await once(client, 'exit');
    for (const server of backends.splice(0)) server.forceShutdown();
    port = 0;
    await cluster.close();
  });

  function backend(address: string, onPort: number): Promise<number> {
    const server = new grpc.Server();
    backends.push(server);
    const keep = (bytes: Buffer): Buffer => bytes;
    const say = {
      path: '/test.Echo/Say',
      requestStream: false,
      responseStream: false,
      requestSerialize: keep,
      requestDeserialize: keep,
      responseSerialize: keep,
      responseDeserialize: keep,
    } as const;
    const answer = (_call: unknown, callback: grpc.sendUnaryData<Buffer>): void =>
      callback(null, Buffer.from(address));
    server.addService({ say }, { say: answer });
    return new Promise((resolve, reject) => {
      server.bindAsync(`${address}:${onPort}`, grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
  }

  const putPod = (name: string, address: string): void =>
    void cluster.api.put(
      '/api/v1/pods',
      yaml<KubernetesObject>(`
metadata: { name: ${name}, namespace: shop, uid: ${name}, labels: { app: catalog }, annotations: { ambient.istio.io/redirection: enabled } }
spec: { nodeName: n1, containers: [] }
status: { phase: Running, podIPs: [{ ip: ${address} }], conditions: [{ type: Ready, status: "True" }] }`),
    );
  const putService = (): void =>
    void cluster.api.put(
      '/api/v1/services',
      yaml<KubernetesObject>(
        `{ metadata: { name: catalog, namespace: shop }, spec: { selector: { app: catalog }, clusterIPs: [10.96.0.7], ports: [{ name: grpc, port: 7070, targetPort: ${port} }] } }`,
      ),
    );

  async function call(target = 'catalog:7070'): Promise<string> {
    client.stdin?.write(`${target}\n`);
    return String((await answers.next()).value);
  }

  /** Calls until the last few answers are these. */
  async function untilAnswers(...expected: string[]): Promise<void> {
    for (;;) {
      const seen = new Set<string>();
      for (let i = 0; i < 4; i++) seen.add(await call());
      if ([...seen].sort().join() === expected.join()) return;
      await new Promise((resolve) => void setTimeout(resolve, 20));
    }
  }

  it('reaches the pods of a Service by any of its names, and follows them as they come and go', async () => {
    putService();
    putPod('a', '127.0.0.11');
    await untilAnswers('127.0.0.11');
    for (const target of [
      'catalog.shop:7070',
      'catalog.shop.svc:7070',
      'catalog.shop.svc.cluster.local:7070',
    ])
      expect(await call(target)).toBe('127.0.0.11');
    putPod('b', '127.0.0.12');
    await untilAnswers('127.0.0.11', '127.0.0.12');
    cluster.api.remove('/api/v1/pods', 'a', 'shop');
    await untilAnswers('127.0.0.12');
    cluster.api.remove('/api/v1/services', 'catalog', 'shop');
    while (!(await call()).startsWith('UNAVAILABLE'))
      await new Promise((resolve) => void setTimeout(resolve, 20));
  });
});
