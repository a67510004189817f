import { connect as connectTcp } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import grpc from '@grpc/grpc-js';
import { TypeUrl } from '@weft/api';
import { istio } from '@weft/api/workload';
import { type KubernetesObject, KubernetesClient } from '@weft/kubernetes';
import { FakeApiServer } from '@weft/kubernetes/testing';
import { IstioCaClient, peerIdentity, serverTrust, toSpiffeId } from '@weft/spiffe';
import { silentLogger, systemClock } from '@weft/telemetry';
import { DeltaClient, Subscription } from '@weft/xds';
import { yaml } from './ambient/test-objects.ts';
import { readConfig } from './config.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const SECURITY = '/apis/security.istio.io/v1';
const POLICIES = `${SECURITY}/authorizationpolicies`;

/** What the API server says of each token. */
const tokens: Readonly<Record<string, unknown>> = {
  'ztunnel-n1': account('istio-system', 'ztunnel', 'ztunnel-n1'),
  'ztunnel-n2': account('istio-system', 'ztunnel', 'ztunnel-n2'),
  'ztunnel-unbound': account('istio-system', 'ztunnel'),
  'wrong-audience': { ...account('istio-system', 'ztunnel', 'ztunnel-n1'), audiences: ['api'] },
  'no-audience': { ...account('istio-system', 'ztunnel', 'ztunnel-n1'), audiences: undefined },
  web: account('shop', 'web', 'web-1'),
};

function account(namespace: string, name: string, pod?: string) {
  const extra =
    pod === undefined
      ? {}
      : {
          'authentication.kubernetes.io/pod-name': [pod],
          'authentication.kubernetes.io/pod-uid': [`uid-${pod}`],
        };
  const user = { username: `system:serviceaccount:${namespace}:${name}`, extra };
  return { authenticated: true, audiences: ['istio-ca'], user };
}

function pod(namespace: string, name: string, node: string, serviceAccount: string, labels = 'app: web') {
  return yaml<KubernetesObject>(`
metadata: { name: ${name}, namespace: ${namespace}, uid: uid-${name}, labels: { ${labels} }, annotations: { ambient.istio.io/redirection: enabled } }
spec: { nodeName: ${node}, serviceAccountName: ${serviceAccount}, containers: [] }
status: { phase: Running, podIPs: [{ ip: 10.0.0.${name.length} }], conditions: [{ type: Ready, status: "True" }] }`);
}

let api: FakeApiServer;
let stop: AbortController;
let running: ControlPlane[];
let clients: Promise<void>[];

beforeEach(async () => {
  api = await FakeApiServer.start();
  stop = new AbortController();
  running = [];
  clients = [];
  api.intercept = ({ url, body }, response) => {
    if (url.pathname !== '/apis/authentication.k8s.io/v1/tokenreviews') return false;
    const { spec } = JSON.parse(body) as { spec: { token: string } }; // what our own client sent
    response.writeHead(201, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({ status: tokens[spec.token] ?? { authenticated: false, error: 'unknown token' } }),
    );
    return true;
  };
  for (const name of ['istio-system', 'shop', 'kube-public']) {
    api.put('/api/v1/namespaces', { metadata: { name } });
  }
  api.put('/api/v1/pods', pod('istio-system', 'ztunnel-n1', 'n1', 'ztunnel', 'app: ztunnel'));
  api.put('/api/v1/pods', pod('istio-system', 'ztunnel-n2', 'n2', 'ztunnel', 'app: ztunnel'));
  api.put('/api/v1/pods', pod('shop', 'web-1', 'n1', 'web'));
});

afterEach(async () => {
  stop.abort();
  await Promise.all(clients);
  for (const controlPlane of running) await controlPlane.close();
  await api.close();
});

async function start(env: Readonly<Record<string, string>> = {}): Promise<ControlPlane> {
  const config = readConfig(
    {
      POD_NAME: `istiod-${running.length}`,
      POD_NAMESPACE: 'istio-system',
      CA_TRUSTED_NODE_ACCOUNTS: 'istio-system/ztunnel',
      PILOT_DEBOUNCE_AFTER: '5ms',
      ROOT_CA_DIR: '/nonexistent',
      ...Object.fromEntries(
        ['PLAINTEXT_XDS_PORT', 'XDS_PORT', 'METRICS_PORT', 'WEBHOOK_PORT', 'READY_PORT'].map((name) => [
          name,
          '0',
        ]),
      ),
      ...env,
    },
    'test',
  );
  const client = new KubernetesClient(api.connection);
  const controlPlane = await startControlPlane({
    config,
    client,
    clock: systemClock,
    logger: silentLogger,
    signal: new AbortController().signal,
  });
  running.push(controlPlane);
  return controlPlane;
}

function trust({ rootsPem }: ControlPlane): grpc.ChannelCredentials {
  return serverTrust({ rootsPem, alternativeHostname: 'istiod.istio-system.svc' });
}

/** What a ztunnel knows of the mesh, across connections, and the names in each update since last asked. */
function createProxy() {
  const updates: string[] = [];
  const view = new Map<string, unknown>();
  const subscribe = (typeUrl: string, decode: (bytes: Uint8Array) => unknown) =>
    new Subscription({ typeUrl, decode }, ({ upserted, removed }) => {
      for (const { name, resource } of upserted) {
        view.set(name, resource);
        updates.push(name);
      }
      for (const name of removed) {
        view.delete(name);
        updates.push(`-${name}`);
      }
    });
  const subscriptions = [
    subscribe(TypeUrl.address, (bytes) => istio.workload.Address.decode(bytes)),
    subscribe(TypeUrl.authorization, (bytes) => istio.security.Authorization.decode(bytes)),
  ];
  /** Returns how to hang up. */
  const connect = (
    controlPlane: ControlPlane,
    token: string,
    metadata: Readonly<Record<string, string>> = {},
  ) => {
    const own = new AbortController();
    const fields = Object.fromEntries(Object.entries(metadata).map(([k, v]) => [k, { stringValue: v }]));
    const client = new DeltaClient({
      address: `localhost:${controlPlane.ports.xds}`,
      credentials: () => trust(controlPlane),
      headers: () => [['authorization', `Bearer ${token}`]],
      node: {
        id: 'ztunnel~1.1.1.1~ztunnel-n1.istio-system~istio-system.svc.cluster.local',
        metadata: { fields },
      },
      subscriptions,
      signal: AbortSignal.any([stop.signal, own.signal]),
    });
    clients.push(client.done);
    return { client, hangUp: () => own.abort() };
  };
  const ready = (): Promise<void> => until(() => subscriptions.every(({ acknowledged }) => acknowledged));
  return { connect, ready, view, updates: () => updates.splice(0).sort() };
}

async function connected(
  controlPlane: ControlPlane,
  token: string,
  metadata: Readonly<Record<string, string>> = {},
) {
  const proxy = createProxy();
  proxy.connect(controlPlane, token, metadata);
  await proxy.ready();
  return proxy;
}

/** Waits until a condition holds; the test's own time-out is the limit. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => void setTimeout(resolve, 5));
}

const uid = (namespace: string, name: string): string => `Kubernetes//Pod/${namespace}/${name}`;

describe('control plane', () => {
  it('gives a proxy the whole mesh, and then only what changes', async () => {
    const controlPlane = await start();
    const proxy = await connected(controlPlane, 'ztunnel-n1', { NAMESPACE: 'istio-system' });
    expect(proxy.updates()).toEqual([
      uid('istio-system', 'ztunnel-n1'),
      uid('istio-system', 'ztunnel-n2'),
      uid('shop', 'web-1'),
    ]);

    api.put(
      '/api/v1/services',
      yaml(
        '{ metadata: { name: web, namespace: shop }, spec: { selector: { app: web }, clusterIPs: [10.96.0.1], ports: [{ port: 80 }] } }',
      ),
    );
    await until(() => proxy.view.has('shop/web.shop.svc.cluster.local'));
    expect(proxy.updates()).toEqual([uid('shop', 'web-1'), 'shop/web.shop.svc.cluster.local']);

    const policy = yaml<KubernetesObject>(
      '{ metadata: { name: p, namespace: shop }, spec: { selector: { matchLabels: { app: web } }, action: DENY, rules: [{ to: [{ operation: { ports: ["80"] } }] }] } }',
    );
    api.put(POLICIES, policy);
    await until(() => proxy.view.has('shop/p'));
    await until(() => JSON.stringify(proxy.view.get(uid('shop', 'web-1'))).includes('shop/p'));
    expect(proxy.updates()).toEqual([uid('shop', 'web-1'), 'shop/p']);

    // A change that no proxy needs to know of.
    api.put('/api/v1/pods', { ...pod('shop', 'web-1', 'n1', 'web'), extra: 'status heartbeat' });
    api.remove('/api/v1/pods', 'ztunnel-n2', 'istio-system');
    await until(() => !proxy.view.has(uid('istio-system', 'ztunnel-n2')));
    expect(proxy.updates()).toEqual([`-${uid('istio-system', 'ztunnel-n2')}`]);
  });

  it('sends a policy before the workloads that name it, and takes it back after them', async () => {
    const controlPlane = await start();
    const proxy = await connected(controlPlane, 'ztunnel-n1');
    const order: string[] = [];
    const set = proxy.view.set.bind(proxy.view);
    const remove = proxy.view.delete.bind(proxy.view);
    proxy.view.set = (name, value) => (order.push(name), set(name, value));
    proxy.view.delete = (name) => (order.push(`-${name}`), remove(name));
    api.put(
      POLICIES,
      yaml('{ metadata: { name: p, namespace: shop }, spec: { selector: { matchLabels: { app: web } } } }'),
    );
    await until(() => order.length === 2);
    api.remove(POLICIES, 'p', 'shop');
    await until(() => order.length === 4);
    expect(order).toEqual(['shop/p', uid('shop', 'web-1'), uid('shop', 'web-1'), '-shop/p']);
  });

  it('sends a proxy that reconnects to another replica only what it missed', async () => {
    const [first, second] = [await start(), await start()];
    expect(second.rootsPem).toBe(first.rootsPem);
    const proxy = createProxy();
    const { hangUp } = proxy.connect(first, 'ztunnel-n1');
    await proxy.ready();
    proxy.updates();
    hangUp();
    api.remove('/api/v1/pods', 'ztunnel-n2', 'istio-system');
    const gone = uid('istio-system', 'ztunnel-n2');
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
    const controlPlane = await start();
    const proxy = createProxy();
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
    const controlPlane = await start();
    const socket = connectTcp(controlPlane.ports[port], 'localhost');
    socket.on('error', () => undefined);
    socket.write(garbage);
    await new Promise((resolve) => void socket.on('close', resolve));
    const metrics = await fetch(`http://127.0.0.1:${controlPlane.ports.metrics}/metrics`);
    expect(await metrics.text()).toContain('weft_xds_refusals{code="WEFT1822"} 1');
    await connected(controlPlane, 'ztunnel-n1');
  });

  it('keeps serving while the CRDs of policies are missing, and picks them up when they come', async () => {
    const review = api.intercept;
    let installed = false;
    api.intercept = (request, response) => {
      if (!installed && request.url.pathname.startsWith(SECURITY)) {
        response.writeHead(404, { 'content-type': 'application/json' }).end('{"kind":"Status","code":404}');
        return true;
      }
      return review?.(request, response) ?? false;
    };
    const controlPlane = await start();
    const proxy = await connected(controlPlane, 'ztunnel-n1');
    installed = true;
    api.put(POLICIES, yaml('{ metadata: { name: p, namespace: shop }, spec: { rules: [{}] } }'));
    await until(() => proxy.view.has('shop/p'));
  });
});

describe('certificate authority', () => {
  const web = toSpiffeId('spiffe://cluster.local/ns/shop/sa/web');

  function fetchCertificate(controlPlane: ControlPlane, token: string, identity = web, more = {}) {
    const client = new IstioCaClient({
      address: `localhost:${controlPlane.ports.xds}`,
      readRoots: () => controlPlane.rootsPem,
      alternativeHostname: 'istiod.istio-system.svc',
      readToken: () => token,
      clusterId: 'Kubernetes',
      impersonate: true,
      ...more,
    });
    return client.fetchCertificate(identity, stop.signal).finally(() => client.close());
  }

  it('certifies a workload on the node of the proxy that asks', async () => {
    const controlPlane = await start();
    const certificate = await fetchCertificate(controlPlane, 'ztunnel-n1');
    expect(peerIdentity(certificate.leaf)).toBe(web);
    expect(certificate.rootsPem).toBe(controlPlane.rootsPem);
  });

  it('certifies a caller for itself, whatever its request says', async () => {
    const controlPlane = await start();
    const certificate = await fetchCertificate(controlPlane, 'web', web, { impersonate: false });
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
    const controlPlane = await start();
    await expect(fetchCertificate(controlPlane, token, identity, more)).rejects.toThrow(
      /UNAUTHENTICATED request authenticate failure$/,
    );
  });

  it('refuses a lifetime beyond the limit', async () => {
    const controlPlane = await start({ MAX_WORKLOAD_CERT_TTL: '24h' });
    await expect(fetchCertificate(controlPlane, 'ztunnel-n1', web, { ttlSeconds: 100_000 })).rejects.toThrow(
      /INVALID_ARGUMENT/,
    );
  });

  it('puts the root into every namespace but the excluded, and puts it back', async () => {
    const controlPlane = await start();
    const rootOf = async (namespace: string): Promise<string | undefined> => {
      const path = `/api/v1/namespaces/${namespace}/configmaps/istio-ca-root-cert`;
      const answer = await fetch(`${api.connection.server}${path}`);
      if (!answer.ok) return undefined;
      const { data } = (await answer.json()) as { data?: Record<string, string> }; // as we wrote it
      return data?.['root-cert.pem'];
    };
    const untilRoot = async (namespace: string): Promise<void> => {
      while ((await rootOf(namespace)) !== controlPlane.rootsPem) {
        await new Promise((resolve) => void setTimeout(resolve, 5));
      }
    };
    await untilRoot('shop');
    api.put('/api/v1/namespaces', { metadata: { name: 'new' } });
    await untilRoot('new');
    api.put('/api/v1/configmaps', {
      metadata: { name: 'istio-ca-root-cert', namespace: 'new' },
      data: { 'root-cert.pem': 'tampered' },
    } as KubernetesObject);
    await untilRoot('new');
    api.remove('/api/v1/configmaps', 'istio-ca-root-cert', 'shop');
    await untilRoot('shop');
    expect(await rootOf('kube-public')).toBeUndefined();
  });

  it('lets the leader write what became of each policy', async () => {
    await start();
    api.put(
      POLICIES,
      yaml('{ metadata: { name: p, namespace: shop, generation: 3 }, spec: { action: AUDIT, rules: [{}] } }'),
    );
    const path = `/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies/p`;
    const conditions = async (): Promise<unknown> => {
      const answer = await fetch(`${api.connection.server}${path}`);
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
