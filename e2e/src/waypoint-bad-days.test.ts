import { generateKeyPairSync, sign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { eventually } from './kit/eventually.ts';
import { ask, type HttpAnswer, type HttpRequest } from './kit/http.ts';
import type { LocalMesh, PodView } from './kit/local-mesh.ts';
import { NodeInspector } from './kit/node-inspector.ts';
import { killContainer } from './kit/node-process.ts';
import { openShop, type Shop } from './kit/shop.ts';
import { CLIENT_TIMEOUT_MS, Traffic, isReady, type Deployed } from './kit/workloads.ts';

const SERVICE = 'http://server.shop/';
const WAYPOINT_PODS = 'gateway.networking.k8s.io/gateway-name=waypoint';

jest.setTimeout(120_000);

/** A Service that may be read only, by its waypoint's policy, and everything that can happen to the waypoint. */
describe('a waypoint on a bad day', () => {
  let shop: Shop;
  let mesh: LocalMesh;
  let client: Deployed;
  let uncaptured: Deployed;

  const viaWaypoint = (answer: HttpAnswer): boolean => answer.headers['server'] === 'istio-envoy';
  const statuses = async (from: Deployed, request: HttpRequest, count = 1): Promise<readonly number[]> => [
    ...new Set((await ask(mesh, from, request, count)).map(({ status }) => status)),
  ];
  const untilServed = (): Promise<void> =>
    eventually(30_000, async () => {
      expect(await statuses(client, { url: SERVICE })).toEqual([200]);
      expect(await statuses(client, { url: SERVICE, method: 'POST' })).toEqual([403]);
    });
  /** With a mesh that refuses by itself what can't go through the waypoint, nothing gets any answer. */
  const untilRefused = (url: string): Promise<void> =>
    eventually(30_000, async () => {
      for (const from of [client, uncaptured])
        for (const method of ['GET', 'POST']) expect(await statuses(from, { url, method }, 3)).toEqual([0]);
    });
  const bound = async (service: string): Promise<string> =>
    mesh.kubectl(
      ...['get', 'service', service, '-n', 'shop', '-o'],
      'jsonpath={range .status.conditions[?(@.type=="istio.io/WaypointBound")]}{.status} {.reason}: {.message}{end}',
    );
  /** What a command printed, where it is expected to end with 1. */
  const failing = async (...args: readonly string[]): Promise<string> => {
    const { status, output } = await mesh.tryWeft(...args);
    expect(status).toBe(1);
    return output;
  };
  const errorCount = async (node: string, code: string): Promise<number> => {
    const ztunnels = await mesh.pods('istio-system', 'app=ztunnel');
    const address = ztunnels.find(({ spec }) => spec.nodeName === node)?.status.podIP;
    const [answer] = await ask(mesh, uncaptured, { url: `http://${address}:15020/metrics` });
    return Number(
      new RegExp(`^weft_errors_total\\{code="${code}"\\} (\\d+)`, 'm').exec(answer?.body ?? '')?.[1] ?? 0,
    );
  };
  async function waypointPod(): Promise<PodView> {
    const [pod] = await mesh.pods('shop', WAYPOINT_PODS);
    if (pod === undefined) throw new Error('the waypoint has no pod');
    return pod;
  }

  beforeAll(async () => {
    shop = await openShop('waypoint-bad-days', ['alone']);
    ({ mesh, client, uncaptured } = shop);
    await mesh.weft('waypoint', 'apply', '-n', 'shop', '--enroll-namespace', '--wait');
    await shop.security('AuthorizationPolicy', 'read-only', {
      rules: [{ to: [{ operation: { methods: ['GET'] } }] }],
    });
    await untilServed();
  }, 240_000);
  afterAll(() => shop?.mesh.stop(), 60_000);

  it('is restarted and scaled under load, and no request is lost', async () => {
    const traffic = new Traffic(mesh, client, SERVICE);
    try {
      await mesh.kubectl('scale', '-n', 'shop', 'deployment/waypoint', '--replicas=2');
      await mesh.rollout('shop', 'deployment/waypoint');
      await mesh.kubectl('rollout', 'restart', '-n', 'shop', 'deployment/waypoint');
      await mesh.rollout('shop', 'deployment/waypoint');
      await mesh.kubectl('scale', '-n', 'shop', 'deployment/waypoint', '--replicas=1');
      // Until those that were replaced are gone, too: it is at their end that requests would be lost.
      await eventually(45_000, async () => {
        const selector = ['-l', WAYPOINT_PODS];
        const { items } = await mesh.json<{ items: object[] }>('get', 'pods', '-n', 'shop', ...selector);
        expect(items).toHaveLength(1);
      });
    } finally {
      const { good, bad } = await traffic.stop();
      expect(bad).toEqual([]);
      expect(good).toBeGreaterThan(20);
    }
  });

  it('is killed under load: requests fail while it is away, and none gets in without its policy', async () => {
    const { metadata, spec } = await waypointPod();
    const inspector = await NodeInspector.on(mesh, spec.nodeName ?? '');
    const reads = new Traffic(mesh, client, SERVICE);
    const writes = new Traffic(mesh, client, SERVICE, { method: 'POST' });
    await Promise.all([reads.untilAnswered(), writes.untilAnswered()]);
    const killedAt = Date.now();
    await killContainer(inspector, metadata.name);
    await eventually(60_000, async () => {
      expect(reads.counts.bad).not.toEqual([]);
      expect(isReady(await waypointPod())).toBe(true);
      expect(await statuses(client, { url: SERVICE }, 3)).toEqual([200]);
    });
    const backAt = Date.now();
    await Promise.all([reads.untilAnswered(), writes.untilAnswered()]);
    const [read, written] = [await reads.stop(), await writes.stop()];
    const failures = read.bad.map((entry) => Date.parse(entry.split(' ')[0] ?? ''));
    // Who was waiting for it when it died may wait for as long as a client of ours does.
    const late = backAt + CLIENT_TIMEOUT_MS;
    expect(failures.filter((at) => at < killedAt - 1_000 || at > late)).toEqual([]);
    expect(Object.keys(written.statuses).filter((status) => status !== '403' && status !== '503')).toEqual(
      [],
    );
    expect(written.statuses['403']).toBeGreaterThan(0);
  });

  it('serves on without the control plane', async () => {
    await mesh.kubectl('scale', '-n', 'istio-system', 'deployment/istiod', '--replicas=0');
    await eventually(30_000, async () => {
      expect(await mesh.pods('istio-system', 'app=istiod')).toEqual([]);
    });
    const answers = await ask(mesh, client, { url: SERVICE }, 5);
    expect(answers.every((answer) => answer.status === 200 && viaWaypoint(answer))).toBe(true);
    expect(await statuses(client, { url: SERVICE, method: 'POST' })).toEqual([403]);
    expect(await failing('proxy-status')).toContain('no running control plane in namespace istio-system');
    expect(await mesh.weft('pc', 'cluster', 'deploy/waypoint.shop')).toContain(
      'server.shop.svc.cluster.local',
    );
    await mesh.kubectl('scale', '-n', 'istio-system', 'deployment/istiod', '--replicas=1');
    await mesh.rollout('istio-system', 'deployment/istiod');
  });

  it('is not asked: who goes around it is refused and counted at the pod', async () => {
    const server = shop.pods.get('server-1');
    const before = await errorCount(server?.node ?? '', 'WEFT1406');
    await untilRefused(`http://${server?.ip}:8080/`);
    expect(await statuses(uncaptured, { url: SERVICE })).toEqual([0]);
    expect(await errorCount(server?.node ?? '', 'WEFT1406')).toBeGreaterThanOrEqual(before + 12);
    expect(await bound('server')).toBe(
      'True WaypointAccepted: Successfully attached to waypoint shop/waypoint; nothing else may deliver to it',
    );
  });

  it('is scaled to nothing: refused and counted at the client, and everybody says why', async () => {
    const before = await errorCount(client.node, 'WEFT1317');
    await mesh.kubectl('scale', '-n', 'shop', 'deployment/waypoint', '--replicas=0');
    await untilRefused(SERVICE);
    expect(await errorCount(client.node, 'WEFT1317')).toBeGreaterThanOrEqual(before + 6);
    const reason =
      'no instance of waypoint.shop.svc.cluster.local is ready: requests to what uses this waypoint fail';
    await eventually(20_000, async () => {
      const status = ['waypoint', 'status', 'waypoint', '-n', 'shop'];
      expect(await mesh.weft(...status, '--no-wait')).toContain(reason);
      expect(await failing(...status, '--waypoint-timeout', '1s')).toContain(
        `WEFT1907 shop/waypoint: Pending: ${reason}`,
      );
      expect(await failing('check')).toContain(
        `0 of 1 waypoints are ready\n    shop/waypoint: Pending: ${reason}`,
      );
      expect(await mesh.weft('proxy-status')).not.toContain('waypoint');
    });
    await mesh.kubectl('scale', '-n', 'shop', 'deployment/waypoint', '--replicas=1');
    await untilServed();
  });

  it('is deleted while the label stays: refused until there is one again', async () => {
    const reads = new Traffic(mesh, client, SERVICE);
    const writes = new Traffic(mesh, client, SERVICE, { method: 'POST' });
    await mesh.weft('waypoint', 'delete', 'waypoint', '-n', 'shop');
    await untilRefused(SERVICE);
    await eventually(20_000, async () => {
      expect(await bound('server')).toBe(
        'False WaypointIsNotReady: waypoint shop/waypoint does not exist; requests are refused, because the Service requires its waypoint',
      );
    });
    expect(await failing('check')).toContain(
      'shop/server: WaypointIsNotReady: waypoint shop/waypoint does not exist',
    );
    expect(await failing('waypoint', 'status', 'waypoint', '-n', 'shop')).toContain(
      'there is no waypoint shop/waypoint',
    );
    await mesh.weft('waypoint', 'apply', '-n', 'shop', '--wait');
    await untilServed();
    await Promise.all([reads.stop(), writes.stop()]);
    expect(
      Object.keys(writes.counts.statuses).filter((status) => status !== '403' && status !== '503'),
    ).toEqual([]);
  });

  it('is one that nobody runs: refused, and everybody says why', async () => {
    await mesh.weft('waypoint', 'apply', '-n', 'shop', '--name', 'nobodys', '--revision', 'nobody');
    await mesh.applyAll([
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: {
          ...{ name: 'alone', namespace: 'shop' },
          labels: { 'istio.io/use-waypoint': 'nobodys', 'weft.dev/require-waypoint': 'true' },
        },
        spec: { selector: { app: 'alone' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
      },
    ]);
    await untilRefused('http://alone.shop/');
    await untilRefused(`http://${shop.pods.get('alone')?.ip}:8080/`);
    await eventually(20_000, async () => {
      expect(await bound('alone')).toMatch(/^False WaypointIsNotReady: .*nobodys.*; requests are refused/);
    });
    const status = ['waypoint', 'status', 'nobodys', '-n', 'shop', '--waypoint-timeout', '1s'];
    expect(await failing(...status)).toContain('no control plane has looked at it yet');
    // Fail-open is there for who asks for it.
    await mesh.kubectl(
      'label',
      'service',
      'alone',
      '-n',
      'shop',
      '--overwrite',
      'weft.dev/require-waypoint=false',
    );
    await eventually(20_000, async () => {
      for (const from of [client, uncaptured])
        expect(await statuses(from, { url: 'http://alone.shop/', method: 'POST' })).toEqual([200]);
    });
    await shop.remove('gateway/nobodys', 'service/alone');
  });

  it('knows no keys, as their address does not answer: who brings a token is refused, until it does', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const jwks = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'RS256', use: 'sig' }] };
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const content = `${part({ alg: 'RS256', kid: 'k' })}.${part({ iss: 'me', sub: 'ann', exp: 2 ** 32 })}`;
    const token = `${content}.${sign('sha256', Buffer.from(content), privateKey).toString('base64url')}`;
    const bearer = { url: SERVICE, headers: { authorization: `Bearer ${token}` } };
    const before = (await waypointPod()).status.containerStatuses?.[0]?.containerID;
    await shop.security('RequestAuthentication', 'tokens', {
      jwtRules: [{ issuer: 'me', jwksUri: `http://${uncaptured.ip}:8099/keys`, timeout: '1s' }],
    });
    await eventually(30_000, async () => expect(await statuses(client, bearer, 3)).toEqual([401]));
    expect(await statuses(client, { url: SERVICE })).toEqual([200]);
    const script = `require('http').createServer((q,s)=>s.end(${JSON.stringify(JSON.stringify(jwks))})).listen(8099)`;
    const keys = mesh.execInBackground('plain', 'client', process.execPath, '-e', script);
    try {
      await eventually(60_000, async () => expect(await statuses(client, bearer, 3)).toEqual([200]));
    } finally {
      keys.kill();
    }
    const forged = { url: SERVICE, headers: { authorization: `Bearer ${token.slice(0, -8)}AAAAAAAA` } };
    expect(await statuses(client, forged, 3)).toEqual([401]);
    expect((await waypointPod()).status.containerStatuses?.[0]?.containerID).toBe(before);
    await shop.remove('requestauthentication/tokens');
  });

  it('outlives its mesh, which is said when the mesh is removed', async () => {
    const { status, output } = await mesh.tryWeft('uninstall');
    expect(status).toBe(0);
    expect(output).toContain('nobody looks after these waypoints any more: shop/waypoint; delete each with');
    const left = JSON.parse(await mesh.weft('waypoint', 'list', '-n', 'shop', '-o', 'json')) as unknown;
    expect(left).toMatchObject([{ kind: 'Gateway', metadata: { name: 'waypoint' } }]);
  });
});
