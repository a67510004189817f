import { generateKeyPairSync, sign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { eventually } from './kit/eventually.ts';
import { ask, sampleAnswer, type HttpAnswer } from './kit/http.ts';
import type { LocalMesh } from './kit/local-mesh.ts';
import { openShop, type Shop } from './kit/shop.ts';
import type { Deployed } from './kit/workloads.ts';

/** A step of a user's day; each has its own, shorter deadlines inside. */
const SCENARIO_MS = 90_000;
const SERVICE = 'http://server.shop/';

jest.setTimeout(SCENARIO_MS);

/** One cluster, one installation; the scenarios follow each other as a user's day would. */
describe('waypoint', () => {
  let shop: Shop;
  let mesh: LocalMesh;
  let client: Deployed;
  let stranger: Deployed;

  const viaWaypoint = (answer: HttpAnswer): boolean => answer.headers['server'] === 'istio-envoy';
  const statuses = (answers: readonly HttpAnswer[]): readonly number[] => [
    ...new Set(answers.map(({ status }) => status)),
  ];
  const route = (rules: readonly object[]): Promise<string> =>
    shop.apply('gateway.networking.k8s.io/v1', 'HTTPRoute', 'server', {
      parentRefs: [{ group: '', kind: 'Service', name: 'server', port: 80 }],
      rules,
    });
  beforeAll(async () => {
    shop = await openShop('waypoint');
    ({ mesh, client, stranger } = shop);
    for (const name of ['server-1', 'server-2']) {
      await shop.apply('v1', 'Service', name, {
        selector: { app: name },
        ports: [{ name: 'http', port: 80, targetPort: 8080 }],
      });
    }
  }, 240_000);
  afterAll(() => shop?.mesh.stop(), 60_000);

  it('is made, programmed and used by one command', async () => {
    const output = await mesh.weft('waypoint', 'apply', '-n', 'shop', '--enroll-namespace', '--wait');
    expect(output).toContain('waypoint shop/waypoint is ready!');
    expect(await mesh.weft('waypoint', 'list', '-n', 'shop')).toMatch(/waypoint +default +service +True/);
    expect(await mesh.weft('waypoint', 'status', '-n', 'shop')).toMatch(/waypoint +True +Programmed/);
    await eventually(20_000, async () => {
      const [answer] = await ask(mesh, client, { url: SERVICE });
      expect(answer).toMatchObject({ status: 200 });
      expect(answer && viaWaypoint(answer)).toBe(true);
    });
  });

  it('stands between captured clients of any namespace and the service, on both nodes', async () => {
    for (const from of [client, stranger]) {
      const answers = await ask(mesh, from, { url: SERVICE }, 20);
      expect(statuses(answers)).toEqual([200]);
      expect(answers.every(viaWaypoint)).toBe(true);
      const pods = new Set(answers.map((answer) => sampleAnswer(answer).pod));
      expect([...pods].sort()).toEqual(['server-1', 'server-2']);
    }
  });

  it('leaves alone what addresses a pod, as it is a waypoint of services', async () => {
    const address = shop.pods.get('server-1')?.ip;
    const [answer] = await ask(mesh, client, { url: `http://${address}:8080/` });
    expect(answer?.status).toBe(200);
    expect(answer && viaWaypoint(answer)).toBe(false);
  });

  it('carries TCP through, too', async () => {
    const script = `const s=require('net').connect(9000,'server.shop');s.once('data',(d)=>{console.log(String(d));process.exit()});s.on('error',(e)=>{console.log(e.code);process.exit()})`;
    expect(await mesh.exec('shop', 'client', process.execPath, '-e', script)).toMatch(
      /tick \d+ from server-/,
    );
  });

  it('splits 90 to 10', async () => {
    const backend = (name: string, weight: number): object => ({ name, port: 80, weight });
    await route([{ backendRefs: [backend('server-1', 90), backend('server-2', 10)] }]);
    await eventually(30_000, async () => {
      const answers = await ask(mesh, client, { url: SERVICE }, 200);
      expect(statuses(answers)).toEqual([200]);
      const second = answers.filter((answer) => sampleAnswer(answer).pod === 'server-2').length;
      // Five standard deviations of 200 draws around 20.
      expect(second).toBeGreaterThanOrEqual(1);
      expect(second).toBeLessThanOrEqual(41);
    });
  });

  it('changes headers and paths, redirects', async () => {
    await route([
      {
        matches: [{ path: { type: 'PathPrefix', value: '/old' } }],
        filters: [
          {
            type: 'RequestRedirect',
            requestRedirect: {
              path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/new' },
              statusCode: 301,
            },
          },
        ],
      },
      {
        matches: [{ path: { type: 'PathPrefix', value: '/api' } }],
        filters: [
          {
            type: 'URLRewrite',
            urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/v1' } },
          },
          {
            type: 'RequestHeaderModifier',
            requestHeaderModifier: { set: [{ name: 'x-set', value: 'yes' }], remove: ['x-gone'] },
          },
          {
            type: 'ResponseHeaderModifier',
            responseHeaderModifier: { add: [{ name: 'x-answer', value: 'there' }] },
          },
        ],
        backendRefs: [{ name: 'server', port: 80 }],
      },
      { backendRefs: [{ name: 'server', port: 80 }] },
    ]);
    await eventually(30_000, async () => {
      const [answer] = await ask(mesh, client, { url: `${SERVICE}api/books`, headers: { 'x-gone': '1' } });
      if (answer === undefined) throw new Error('no answer');
      expect(answer.headers['x-answer']).toBe('there');
      const { path, headers } = sampleAnswer(answer);
      expect(path).toBe('/v1/books');
      expect(headers).toMatchObject({ 'x-set': 'yes' });
      expect(headers).not.toHaveProperty('x-gone');
      const [redirect] = await ask(mesh, client, { url: `${SERVICE}old/x?y=1` });
      expect(redirect).toMatchObject({ status: 301, headers: { location: 'http://server.shop/new/x?y=1' } });
    });
  });

  it('hides a flaky backend behind retries', async () => {
    await route([{ backendRefs: [{ name: 'server', port: 80 }] }]);
    await eventually(30_000, async () => {
      const answers = await ask(mesh, client, { url: `${SERVICE}flaky` }, 20);
      expect(answers.some(({ status }) => status === 503)).toBe(true);
    });
    await route([
      { backendRefs: [{ name: 'server', port: 80 }], retry: { codes: [503], attempts: 5, backoff: '10ms' } },
    ]);
    await eventually(30_000, async () => {
      expect(statuses(await ask(mesh, client, { url: `${SERVICE}flaky` }, 40))).toEqual([200]);
    });
    await shop.remove('httproute', 'server');
  });

  describe('policies', () => {
    it('GET is allowed and POST is not, by whatever spelling of the path', async () => {
      await shop.security('AuthorizationPolicy', 'read-only', {
        rules: [{ to: [{ operation: { methods: ['GET'] } }] }],
      });
      await eventually(30_000, async () => {
        const [denied] = await ask(mesh, client, { url: SERVICE, method: 'POST' });
        expect(denied).toMatchObject({ status: 403, body: 'RBAC: access denied' });
      });
      expect(statuses(await ask(mesh, client, { url: SERVICE }, 5))).toEqual([200]);
      for (const path of ['/%2e/', '//', '/a/../'])
        expect(
          statuses(await ask(mesh, client, { url: `http://server.shop${path}`, method: 'POST' })),
        ).toEqual([403]);
    });

    it('tell clients apart by their certificates, which the waypoint passes on to nobody', async () => {
      await shop.security('AuthorizationPolicy', 'read-only', {
        rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/client'] } }] }],
      });
      await eventually(30_000, async () => {
        expect(statuses(await ask(mesh, stranger, { url: SERVICE }))).toEqual([403]);
      });
      expect(statuses(await ask(mesh, client, { url: SERVICE }))).toEqual([200]);
      await shop.security('AuthorizationPolicy', 'read-only', {
        rules: [{ from: [{ source: { notNamespaces: ['shop'] } }] }],
      });
      await eventually(30_000, async () => {
        expect(statuses(await ask(mesh, client, { url: SERVICE }))).toEqual([403]);
      });
      expect(statuses(await ask(mesh, stranger, { url: SERVICE }))).toEqual([200]);
      await shop.remove('authorizationpolicy', 'read-only');
    });

    it('a path needs a token', async () => {
      const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'RS256', use: 'sig' };
      const token = (claims: object): string => {
        const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
        const signed = `${part({ alg: 'RS256', typ: 'JWT', kid: 'k' })}.${part(claims)}`;
        return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
      };
      const good = { iss: 'me', sub: 'ann', exp: Math.floor(Date.now() / 1000) + 600 };
      await shop.security('RequestAuthentication', 'tokens', {
        jwtRules: [{ issuer: 'me', jwks: JSON.stringify({ keys: [jwk] }) }],
      });
      await shop.security('AuthorizationPolicy', 'needs-token', {
        action: 'DENY',
        rules: [
          {
            from: [{ source: { notRequestPrincipals: ['me/*'] } }],
            to: [{ operation: { paths: ['/private*'] } }],
          },
        ],
      });
      const get = async (path: string, bearer?: string): Promise<number | undefined> => {
        const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
        return (await ask(mesh, client, { url: `http://server.shop${path}`, headers }))[0]?.status;
      };
      await eventually(30_000, async () => {
        expect(await get('/private/x')).toBe(403);
        expect(await get('/private/x', token({ ...good, exp: 1 }))).toBe(401);
      });
      expect(await get('/private/x', token(good))).toBe(200);
      expect(await get('/private/x', token({ ...good, iss: 'you' }))).toBe(401);
      expect(await get('/public')).toBe(200);
      await shop.remove('authorizationpolicy', 'needs-token');
      await shop.remove('requestauthentication', 'tokens');
    });
  });

  it('asks who decides about requests, where a policy says so', async () => {
    const configure = (text: string): Promise<string> =>
      mesh.kubectl(
        ...['patch', 'configmap', 'istio', '-n', 'istio-system', '--type=merge'],
        ...['-p', JSON.stringify({ data: { mesh: text } })],
      );
    const { data } = await mesh.json<{ data: { mesh: string } }>(
      ...['get', 'configmap', 'istio', '-n', 'istio-system'],
    );
    const custom = {
      action: 'CUSTOM',
      provider: { name: 'moody' },
      rules: [{ to: [{ operation: { paths: ['/asked*'] } }] }],
    };
    await shop.security('AuthorizationPolicy', 'ask', custom);
    await eventually(30_000, async () => {
      expect(statuses(await ask(mesh, client, { url: `${SERVICE}asked` }, 5))).toEqual([403]);
    });
    // It agrees to every other request, and fails the others.
    const moody = {
      ...{ service: 'server-2.shop.svc.cluster.local', port: 80, pathPrefix: '/flaky' },
      headersToUpstreamOnAllow: ['content-type'],
    };
    const extensionProviders = [{ name: 'moody', envoyExtAuthzHttp: moody }];
    await configure(`${data.mesh}\nextensionProviders: ${JSON.stringify(extensionProviders)}\n`);
    await eventually(30_000, async () => {
      const answers = await ask(mesh, client, { url: `${SERVICE}asked` }, 10);
      expect(new Set(statuses(answers))).toEqual(new Set([200, 403]));
      const allowed = answers.filter(({ status }) => status === 200).map(sampleAnswer);
      expect(allowed.every(({ headers }) => headers['content-type'] === 'application/json')).toBe(true);
    });
    expect(statuses(await ask(mesh, client, { url: SERVICE }, 10))).toEqual([200]);
    await shop.remove('authorizationpolicy', 'ask');
    await configure(data.mesh);
  });

  it('counts requests as Istio does, by source, destination and code', async () => {
    const [pod] = await mesh.pods('shop', 'gateway.networking.k8s.io/gateway-name=waypoint');
    const script = `fetch('http://${pod?.status.podIP}:15020/stats/prometheus').then(r=>r.text()).then(console.log)`;
    const metrics = await mesh.exec('plain', 'client', process.execPath, '-e', script);
    const lines = metrics.split('\n').filter((line) => line.startsWith('istio_requests_total{'));
    const found = (...labels: readonly string[]): boolean =>
      lines.some((line) => labels.every((label) => line.includes(label)));
    expect(
      found(
        'reporter="waypoint"',
        'source_principal="spiffe://cluster.local/ns/shop/sa/client"',
        'destination_service="server.shop.svc.cluster.local"',
        'response_code="200"',
      ),
    ).toBe(true);
    expect(found('response_code="403"')).toBe(true);
    expect(metrics).toContain('istio_request_duration_milliseconds_bucket');
  });

  it('can be looked into: proxy-status and proxy-config', async () => {
    expect(await mesh.weft('proxy-status')).toMatch(/waypoint-\S+\.shop +waypoint +\S+ +SYNCED/);
    const of = (what: string): Promise<string> => mesh.weft('pc', what, 'deployment/waypoint.shop');
    expect(await of('listener')).toContain('main_internal');
    expect(await of('cluster')).toMatch(/server\.shop\.svc\.cluster\.local +80 .*inbound-vip/);
    expect(await of('endpoint')).toContain(`${shop.pods.get('server-1')?.ip}:8080`);
    expect(await of('secret')).toMatch(/default +Cert Chain +ACTIVE +true/);
  });

  it('of workloads stands before a pod that is addressed by itself, and only before it', async () => {
    await mesh.weft('waypoint', 'apply', '-n', 'shop', '--name', 'pods', '--for', 'workload', '--wait');
    await mesh.kubectl('label', '-n', 'shop', 'pod/server-1', 'istio.io/use-waypoint=pods');
    const direct = (name: string): string => `http://${shop.pods.get(name)?.ip}:8080/`;
    for (const from of [client, stranger]) {
      await eventually(30_000, async () => {
        const [answer] = await ask(mesh, from, { url: direct('server-1') });
        expect(answer?.status).toBe(200);
        expect(answer && viaWaypoint(answer)).toBe(true);
      });
      const [other] = await ask(mesh, from, { url: direct('server-2') });
      expect(other?.status).toBe(200);
      expect(other && viaWaypoint(other)).toBe(false);
    }
    const [plain] = await ask(mesh, shop.uncaptured, { url: direct('server-1') });
    expect(plain?.status).toBe(200);
    await mesh.kubectl('label', '-n', 'shop', 'pod/server-1', 'istio.io/use-waypoint-');
    await mesh.weft('waypoint', 'delete', 'pods', '-n', 'shop');
  });

  it('is gone with a command, and traffic goes on without', async () => {
    await mesh.kubectl('label', 'namespace', 'shop', 'istio.io/use-waypoint-');
    await mesh.weft('waypoint', 'delete', 'waypoint', '-n', 'shop');
    await eventually(30_000, async () => {
      const [answer] = await ask(mesh, client, { url: SERVICE });
      expect(answer?.status).toBe(200);
      expect(answer && viaWaypoint(answer)).toBe(false);
      expect(await mesh.pods('shop', 'gateway.networking.k8s.io/gateway-name=waypoint')).toEqual([]);
    });
  });
});
