import { connect as connectTcp } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { KubernetesObject } from '@weft/kubernetes';
import { peerIdentity, toSpiffeId } from '@weft/spiffe';
import { type Logger, silentLogger } from '@weft/telemetry';
import { yaml } from './ambient/test-objects.ts';
import { TestCluster, pod, podUid, until } from './testing/test-cluster.ts';

const SECURITY = '/apis/security.istio.io/v1';
const POLICIES = `${SECURITY}/authorizationpolicies`;

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.start();
});

afterEach(() => cluster.close());

describe('control plane', () => {
  it('gives a proxy the whole mesh, and then only what changes', async () => {
    const controlPlane = await cluster.controlPlane();
    const proxy = await cluster.connected(controlPlane, 'ztunnel-n1', { NAMESPACE: 'istio-system' });
    expect(proxy.updates()).toEqual([
      podUid('istio-system', 'ztunnel-n1'),
      podUid('istio-system', 'ztunnel-n2'),
      podUid('shop', 'web-1'),
    ]);

    cluster.api.put(
      '/api/v1/services',
      yaml(
        '{ metadata: { name: web, namespace: shop }, spec: { selector: { app: web }, clusterIPs: [10.96.0.1], ports: [{ port: 80 }] } }',
      ),
    );
    await until(() => proxy.view.has('shop/web.shop.svc.cluster.local'));
    expect(proxy.updates()).toEqual([podUid('shop', 'web-1'), 'shop/web.shop.svc.cluster.local']);

    const policy = yaml<KubernetesObject>(
      '{ metadata: { name: p, namespace: shop }, spec: { selector: { matchLabels: { app: web } }, action: DENY, rules: [{ to: [{ operation: { ports: ["80"] } }] }] } }',
    );
    cluster.api.put(POLICIES, policy);
    await until(() => proxy.view.has('shop/p'));
    await until(() => JSON.stringify(proxy.view.get(podUid('shop', 'web-1'))).includes('shop/p'));
    expect(proxy.updates()).toEqual([podUid('shop', 'web-1'), 'shop/p']);

    // A change that no proxy needs to know of.
    cluster.api.put('/api/v1/pods', { ...pod('shop', 'web-1', 'n1', 'web'), extra: 'status heartbeat' });
    cluster.api.remove('/api/v1/pods', 'ztunnel-n2', 'istio-system');
    await until(() => !proxy.view.has(podUid('istio-system', 'ztunnel-n2')));
    expect(proxy.updates()).toEqual([`-${podUid('istio-system', 'ztunnel-n2')}`]);
  });

  it('sends a policy before the workloads that name it, and takes it back after them', async () => {
    const controlPlane = await cluster.controlPlane();
    const proxy = await cluster.connected(controlPlane, 'ztunnel-n1');
    const order: string[] = [];
    const set = proxy.view.set.bind(proxy.view);
    const remove = proxy.view.delete.bind(proxy.view);
    proxy.view.set = (name, value) => (order.push(name), set(name, value));
    proxy.view.delete = (name) => (order.push(`-${name}`), remove(name));
    cluster.api.put(
      POLICIES,
      yaml('{ metadata: { name: p, namespace: shop }, spec: { selector: { matchLabels: { app: web } } } }'),
    );
    await until(() => order.length === 2);
    cluster.api.remove(POLICIES, 'p', 'shop');
    await until(() => order.length === 4);
    expect(order).toEqual(['shop/p', podUid('shop', 'web-1'), podUid('shop', 'web-1'), '-shop/p']);
  });

  it('sends a proxy that reconnects to another replica only what it missed', async () => {
    const [first, second] = [await cluster.controlPlane(), await cluster.controlPlane()];
    expect(second.rootsPem).toBe(first.rootsPem);
    const proxy = cluster.createProxy();
    const { hangUp } = proxy.connect(first, 'ztunnel-n1');
    await proxy.ready();
    proxy.updates();
    hangUp();
    cluster.api.remove('/api/v1/pods', 'ztunnel-n2', 'istio-system');
    const gone = podUid('istio-system', 'ztunnel-n2');
    proxy.connect(second, 'ztunnel-n1');
    await until(() => !proxy.view.has(gone));
    expect(proxy.updates()).toEqual([`-${gone}`]);
  });

  it.each([
    ['an unknown token', 'forged', {}],
    ['a token for somebody else', 'wrong-audience', {}],
    ['a token of an API server that ignores audiences', 'no-audience', {}],
    ['a node that claims another namespace', 'web', { NAMESPACE: 'istio-system' }],
    ['a node that claims another account', 'web', { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'ztunnel' }],
  ])('refuses the xDS stream of %s', async (_who, token, metadata) => {
    const controlPlane = await cluster.controlPlane();
    const proxy = cluster.createProxy();
    proxy.connect(controlPlane, token, metadata);
    const refused = async (): Promise<boolean> =>
      /weft_xds_refusals\{code="WEFT1(504|821)"\} [1-9]/.test(
        await (await fetch(`http://127.0.0.1:${controlPlane.ports.metrics}/metrics`)).text(),
      );
    while (!(await refused())) await new Promise((resolve) => void setTimeout(resolve, 5));
    expect(proxy.view.size).toBe(0);
  });

  it.each([
    ['xds', 'GET / HTTP/1.1\r\n\r\n'],
    ['plaintextXds', 'GET / HTTP/1.1\r\n\r\n'],
    ['plaintextXds', 'PRI * HTTP/2.0\r\n\r\nSM?'],
  ] as const)('counts garbage on port %s, and nothing else comes of it', async (port, garbage) => {
    const controlPlane = await cluster.controlPlane();
    const socket = connectTcp(controlPlane.ports[port], 'localhost');
    socket.on('error', () => undefined);
    socket.write(garbage);
    await new Promise((resolve) => void socket.on('close', resolve));
    const metrics = await fetch(`http://127.0.0.1:${controlPlane.ports.metrics}/metrics`);
    expect(await metrics.text()).toContain('weft_xds_refusals{code="WEFT1822"} 1');
    await cluster.connected(controlPlane, 'ztunnel-n1');
  });

  it('keeps serving while the CRDs of policies are missing, and picks them up when they come', async () => {
    const review = cluster.api.intercept;
    let installed = false;
    cluster.api.intercept = (request, response) => {
      if (!installed && request.url.pathname.startsWith(SECURITY)) {
        response.writeHead(404, { 'content-type': 'application/json' }).end('{"kind":"Status","code":404}');
        return true;
      }
      return review?.(request, response) ?? false;
    };
    const controlPlane = await cluster.controlPlane();
    const proxy = await cluster.connected(controlPlane, 'ztunnel-n1');
    installed = true;
    cluster.api.put(POLICIES, yaml('{ metadata: { name: p, namespace: shop }, spec: { rules: [{}] } }'));
    await until(() => proxy.view.has('shop/p'));
  });
});

describe('certificate authority', () => {
  const web = toSpiffeId('spiffe://cluster.local/ns/shop/sa/web');

  it('certifies a workload on the node of the proxy that asks', async () => {
    const controlPlane = await cluster.controlPlane();
    const certificate = await cluster.fetchCertificate(controlPlane, 'ztunnel-n1', web);
    expect(peerIdentity(certificate.leaf)).toBe(web);
    expect(certificate.rootsPem).toBe(controlPlane.rootsPem);
  });

  it('logs each certificate with who asked for which identity', async () => {
    const lines: unknown[] = [];
    const logger: Logger = {
      ...silentLogger,
      scope: () => logger,
      info: (message, fields) => void lines.push([message, fields]),
    };
    const controlPlane = await cluster.controlPlane({}, { logger });
    await cluster.fetchCertificate(controlPlane, 'ztunnel-n1', web);
    expect(lines).toContainEqual([
      'certificate issued',
      expect.objectContaining({ identity: web, caller: 'istio-system/ztunnel (pod ztunnel-n1)' }),
    ]);
  });

  it('certifies a caller for itself, whatever its request says', async () => {
    const controlPlane = await cluster.controlPlane();
    const certificate = await cluster.fetchCertificate(controlPlane, 'web', web, { impersonate: false });
    expect(peerIdentity(certificate.leaf)).toBe(web);
  });

  it.each([
    ['a forged token', 'forged', web, {}],
    ['a token of another audience', 'wrong-audience', web, {}],
    ['a proxy of another node', 'ztunnel-n2', web, {}],
    ['a token that is bound to no pod', 'ztunnel-unbound', web, {}],
    [
      'an account that is not trusted with that',
      'web',
      toSpiffeId('spiffe://cluster.local/ns/istio-system/sa/ztunnel'),
      {},
    ],
    ['an identity that no pod has', 'ztunnel-n1', toSpiffeId('spiffe://cluster.local/ns/shop/sa/db'), {}],
    ['another trust domain', 'ztunnel-n1', toSpiffeId('spiffe://other/ns/shop/sa/web'), {}],
  ])('refuses %s without saying why', async (_what, token, identity, more) => {
    const controlPlane = await cluster.controlPlane();
    await expect(cluster.fetchCertificate(controlPlane, token, identity, more)).rejects.toThrow(
      /UNAUTHENTICATED request authenticate failure$/,
    );
  });

  it('refuses a lifetime beyond the limit', async () => {
    const controlPlane = await cluster.controlPlane({ MAX_WORKLOAD_CERT_TTL: '24h' });
    await expect(
      cluster.fetchCertificate(controlPlane, 'ztunnel-n1', web, { ttlSeconds: 100_000 }),
    ).rejects.toThrow(/INVALID_ARGUMENT/);
  });

  it('puts the root into every namespace but the excluded, and puts it back', async () => {
    const controlPlane = await cluster.controlPlane();
    const rootOf = (namespace: string): Promise<string | undefined> =>
      cluster.configMapEntry(namespace, 'istio-ca-root-cert', 'root-cert.pem');
    const untilRoot = async (namespace: string): Promise<void> => {
      while ((await rootOf(namespace)) !== controlPlane.rootsPem) {
        await new Promise((resolve) => void setTimeout(resolve, 5));
      }
    };
    await untilRoot('shop');
    cluster.api.put('/api/v1/namespaces', { metadata: { name: 'new' } });
    await untilRoot('new');
    cluster.api.put('/api/v1/configmaps', {
      metadata: { name: 'istio-ca-root-cert', namespace: 'new' },
      data: { 'root-cert.pem': 'tampered' },
    } as KubernetesObject);
    await untilRoot('new');
    cluster.api.remove('/api/v1/configmaps', 'istio-ca-root-cert', 'shop');
    await untilRoot('shop');
    expect(await rootOf('kube-public')).toBeUndefined();
  });

  it('lets the leader write what became of each policy', async () => {
    await cluster.controlPlane();
    cluster.api.put(
      POLICIES,
      yaml('{ metadata: { name: p, namespace: shop, generation: 3 }, spec: { action: AUDIT, rules: [{}] } }'),
    );
    const path = `/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies/p`;
    const conditions = async (): Promise<unknown> => {
      const answer = await fetch(`${cluster.api.connection.server}${path}`);
      return ((await answer.json()) as { status?: { conditions?: unknown } }).status?.conditions; // as we wrote it
    };
    while ((await conditions()) === undefined) await new Promise((resolve) => void setTimeout(resolve, 5));
    expect(await conditions()).toEqual([
      expect.objectContaining({
        type: 'ZtunnelAccepted',
        status: 'False',
        reason: 'UnsupportedValue',
        observedGeneration: 3,
      }),
    ]);
  });
});
