import type grpc from '@grpc/grpc-js';
import { TypeUrl } from '@weft/api';
import { istio } from '@weft/api/workload';
import { KubernetesClient, type KubernetesObject } from '@weft/kubernetes';
import { FakeApiServer } from '@weft/kubernetes/testing';
import { IstioCaClient, type SpiffeId, type WorkloadCertificate, serverTrust } from '@weft/spiffe';
import { type Clock, type Logger, silentLogger, systemClock } from '@weft/telemetry';
import { DeltaClient, Subscription } from '@weft/xds';
import { yaml } from '../ambient/test-objects.ts';
import { readConfig } from '../config.ts';
import { type ControlPlane, startControlPlane } from '../control-plane.ts';

/** What the API server says of each token. */
const tokens: Readonly<Record<string, unknown>> = {
  'ztunnel-n1': account('istio-system', 'ztunnel', 'ztunnel-n1'),
  'ztunnel-n2': account('istio-system', 'ztunnel', 'ztunnel-n2'),
  'ztunnel-unbound': account('istio-system', 'ztunnel'),
  'wrong-audience': { ...account('istio-system', 'ztunnel', 'ztunnel-n1'), audiences: ['api'] },
  'no-audience': { ...account('istio-system', 'ztunnel', 'ztunnel-n1'), audiences: undefined },
  web: account('shop', 'web', 'web-1'),
};

/** As the API server issues them, so that it can be seen when they expire. */
export function expiringToken(name: string): string {
  const claims = { exp: Math.floor(Date.now() / 1_000) + 3_600 };
  return `${name}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.signature`;
}

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

export function pod(
  namespace: string,
  name: string,
  node: string,
  serviceAccount: string,
  labels = 'app: web',
): KubernetesObject {
  return yaml<KubernetesObject>(`
metadata: { name: ${name}, namespace: ${namespace}, uid: uid-${name}, labels: { ${labels} }, annotations: { ambient.istio.io/redirection: enabled } }
spec: { nodeName: ${node}, serviceAccountName: ${serviceAccount}, containers: [] }
status: { phase: Running, podIPs: [{ ip: 10.0.0.${name.length} }], conditions: [{ type: Ready, status: "True" }] }`);
}

export const podUid = (namespace: string, name: string): string => `Kubernetes//Pod/${namespace}/${name}`;

/** Waits until a condition holds; the test's own time-out is the limit. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => void setTimeout(resolve, 5));
}

/** Real time, so many times faster. */
export function fastClock(factor: number): Clock {
  const start = Date.now();
  return {
    now: () => start + (Date.now() - start) * factor,
    schedule: (delayMs, task) => systemClock.schedule(delayMs / factor, task),
    sleep: (delayMs, signal) => systemClock.sleep(delayMs / factor, signal),
  };
}

/** An API server with two ztunnels and a workload, any number of control planes on it, and their clients. */
export class TestCluster {
  readonly api: FakeApiServer;
  private readonly stop = new AbortController();
  private readonly running: ControlPlane[] = [];
  private readonly clients: Promise<void>[] = [];

  private constructor(api: FakeApiServer) {
    this.api = api;
  }

  static async start(): Promise<TestCluster> {
    const api = await FakeApiServer.start();
    api.intercept = ({ url, body }, response) => {
      if (url.pathname !== '/apis/authentication.k8s.io/v1/tokenreviews') return false;
      const { spec } = JSON.parse(body) as { spec: { token: string } }; // what our own client sent
      response.writeHead(201, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({
          status: tokens[spec.token.split('.')[0] ?? ''] ?? { authenticated: false, error: 'unknown token' },
        }),
      );
      return true;
    };
    for (const name of ['istio-system', 'shop', 'kube-public']) {
      api.put('/api/v1/namespaces', { metadata: { name } });
    }
    api.put('/api/v1/pods', pod('istio-system', 'ztunnel-n1', 'n1', 'ztunnel', 'app: ztunnel'));
    api.put('/api/v1/pods', pod('istio-system', 'ztunnel-n2', 'n2', 'ztunnel', 'app: ztunnel'));
    api.put('/api/v1/pods', pod('shop', 'web-1', 'n1', 'web'));
    return new TestCluster(api);
  }

  async close(): Promise<void> {
    this.stop.abort();
    await Promise.all(this.clients);
    for (const controlPlane of this.running) await controlPlane.close();
    await this.api.close();
  }

  async controlPlane(
    env: Readonly<Record<string, string>> = {},
    o: { readonly clock?: Clock; readonly logger?: Logger } = {},
  ): Promise<ControlPlane> {
    const ports = ['PLAINTEXT_XDS_PORT', 'XDS_PORT', 'METRICS_PORT', 'WEBHOOK_PORT', 'READY_PORT'];
    const config = readConfig(
      {
        POD_NAME: `istiod-${this.running.length}`,
        POD_NAMESPACE: 'istio-system',
        CA_TRUSTED_NODE_ACCOUNTS: 'istio-system/ztunnel',
        PILOT_DEBOUNCE_AFTER: '5ms',
        ROOT_CA_DIR: '/nonexistent',
        ...Object.fromEntries(ports.map((name) => [name, '0'])),
        ...env,
      },
      'test',
    );
    const controlPlane = await startControlPlane({
      config,
      client: new KubernetesClient(this.api.connection),
      clock: o.clock ?? systemClock,
      logger: o.logger ?? silentLogger,
      signal: new AbortController().signal,
    });
    this.running.push(controlPlane);
    return controlPlane;
  }

  trust({ rootsPem }: ControlPlane): grpc.ChannelCredentials {
    return serverTrust({ rootsPem, alternativeHostname: 'istiod.istio-system.svc' });
  }

  /** What a ztunnel knows of the mesh, across connections, and the names in each update since last asked. */
  createProxy() {
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
        credentials: () => this.trust(controlPlane),
        headers: () => [['authorization', `Bearer ${token}`]],
        node: {
          id: 'ztunnel~1.1.1.1~ztunnel-n1.istio-system~istio-system.svc.cluster.local',
          metadata: { fields },
        },
        subscriptions,
        signal: AbortSignal.any([this.stop.signal, own.signal]),
      });
      this.clients.push(client.done);
      return { client, hangUp: () => own.abort() };
    };
    const ready = (): Promise<void> => until(() => subscriptions.every(({ acknowledged }) => acknowledged));
    return { connect, ready, view, updates: () => updates.splice(0).sort() };
  }

  async connected(
    controlPlane: ControlPlane,
    token: string,
    metadata: Readonly<Record<string, string>> = {},
  ) {
    const proxy = this.createProxy();
    proxy.connect(controlPlane, token, metadata);
    await proxy.ready();
    return proxy;
  }

  fetchCertificate(
    controlPlane: ControlPlane,
    token: string | undefined,
    identity: SpiffeId,
    more: Partial<ConstructorParameters<typeof IstioCaClient>[0]> = {},
  ): Promise<WorkloadCertificate> {
    const client = new IstioCaClient({
      address: `localhost:${controlPlane.ports.xds}`,
      readRoots: () => controlPlane.rootsPem,
      alternativeHostname: 'istiod.istio-system.svc',
      ...(token === undefined ? {} : { readToken: () => token }),
      clusterId: 'Kubernetes',
      impersonate: true,
      ...more,
    });
    return client.fetchCertificate(identity, this.stop.signal).finally(() => client.close());
  }

  /** What a namespace's ConfigMap holds, as pods have it mounted. */
  async configMapEntry(namespace: string, name: string, entry: string): Promise<string | undefined> {
    const answer = await fetch(
      `${this.api.connection.server}/api/v1/namespaces/${namespace}/configmaps/${name}`,
    );
    if (!answer.ok) return undefined;
    const { data } = (await answer.json()) as { data?: Record<string, string> }; // as we wrote it
    return data?.[entry];
  }
}
