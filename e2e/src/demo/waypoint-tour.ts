import { createSign, generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { eventually } from '../kit/eventually.ts';
import { ask, sampleAnswer, type HttpAnswer, type HttpRequest } from '../kit/http.ts';
import { workspace, type LocalMesh, type PodView } from '../kit/local-mesh.ts';
import { promise, type Narrator } from './narrator.ts';

const ISSUER = 'shop.example';
const SPLIT_REQUESTS = 200;

/** The second half of the tour: a waypoint, a route by weight, policies on methods and tokens, retries, metrics. */
export async function waypointTour(mesh: LocalMesh, narrator: Narrator): Promise<void> {
  const sample = (file: string): Promise<string> => readFile(path.join(workspace, 'samples', file), 'utf8');
  const [frontend] = await mesh.pods('shop', 'app=frontend');
  promise(frontend !== undefined, 'the front end runs');

  narrator.heading('weft waypoint apply --enroll-namespace');
  await narrator.during('the waypoint starts, the catalog gets a second version', async () => {
    await mesh.apply(await sample('catalog-versions.yaml'));
    await mesh.weft('waypoint', 'apply', '-n', 'shop', '--enroll-namespace', '--wait');
    await mesh.rollout('shop', 'deploy/catalog-v2', 'deploy/waypoint');
    await mesh.apply(await sample('catalog-routes.yaml'));
  });
  const split = await narrator.during(`${SPLIT_REQUESTS} requests`, () => countVersions(mesh, frontend));
  narrator.evidence(
    `of ${SPLIT_REQUESTS} requests ${split.v1} went to v1 and ${split.v2} to v2, as 90 to 10 asks for`,
  );

  const flaky = await narrator.during('a backend that fails every other time', () =>
    request(mesh, frontend, { url: 'http://catalog.shop/flaky' }, 20),
  );
  promise(
    flaky.every(({ status }) => status === 200),
    `retries hide every failure: ${statuses(flaky)}`,
  );
  narrator.evidence('20 requests to a backend that fails every other time: 20 answers, thanks to retries');

  const { jwks, token } = makeToken();
  await narrator.during('kubectl apply -f samples/catalog-read-only.yaml', async () => {
    await mesh.apply(await sample('catalog-read-only.yaml'));
    await mesh.apply(requestAuthentication(jwks));
    await eventually(20_000, async () => {
      const [post] = await request(mesh, frontend, { url: 'http://catalog.shop/books', method: 'POST' });
      promise(post?.status === 403, `POST is refused, got ${post?.status}`);
    });
  });
  const get = await one(mesh, frontend, { url: 'http://catalog.shop/books' });
  promise(get.status === 200, `GET is allowed, got ${get.status}`);
  narrator.evidence('GET /books is answered with 200, POST /books with 403');
  const admin = 'http://catalog.shop/admin';
  const without = await one(mesh, frontend, { url: admin });
  const forged = await one(mesh, frontend, {
    url: admin,
    headers: { authorization: `Bearer ${makeToken().token}` },
  });
  const withToken = await one(mesh, frontend, { url: admin, headers: { authorization: `Bearer ${token}` } });
  const found = [without.status, forged.status, withToken.status].join(', ');
  promise(found === '403, 401, 200', `/admin needs a token: ${found}`);
  narrator.evidence('/admin without a token: 403; with a forged one: 401; with a good one: 200');

  const metrics = await waypointMetrics(mesh, frontend);
  const count = (code: string): number =>
    [
      ...metrics.matchAll(
        new RegExp(`^istio_requests_total\\{[^}]*response_code="${code}"[^}]*\\} (\\d+)`, 'gm'),
      ),
    ].reduce((sum, [, n]) => sum + Number(n), 0);
  promise(
    count('200') >= SPLIT_REQUESTS && count('403') >= 1,
    `the waypoint counted: ${count('200')} and ${count('403')}`,
  );
  narrator.evidence(
    `the waypoint's istio_requests_total: ${count('200')} with 200, ${count('403')} with 403, ${count('401')} with 401`,
  );
}

async function countVersions(mesh: LocalMesh, frontend: PodView): Promise<{ v1: number; v2: number }> {
  // The route reaches the waypoint some moments after it was written.
  await eventually(20_000, async () => {
    const answers = await request(mesh, frontend, { url: 'http://catalog.shop/books' }, 40);
    promise(
      answers.every(({ status }) => status === 200) && answers.some((a) => sampleAnswer(a).version === 'v1'),
      `the catalog answers: ${statuses(answers)}`,
    );
    promise(
      answers.every((a) => sampleAnswer(a).headers['x-request-id'] !== undefined),
      'requests go through the waypoint',
    );
  });
  const answers = await request(mesh, frontend, { url: 'http://catalog.shop/books' }, SPLIT_REQUESTS);
  promise(
    answers.every(({ status }) => status === 200),
    `every request is answered: ${statuses(answers)}`,
  );
  const v2 = answers.filter((answer) => sampleAnswer(answer).version === 'v2').length;
  // Outside of this range once in a hundred thousand runs.
  promise(v2 >= 5 && v2 <= 42, `about a tenth goes to v2: ${v2} of ${SPLIT_REQUESTS}`);
  return { v1: SPLIT_REQUESTS - v2, v2 };
}

function request(
  mesh: LocalMesh,
  frontend: PodView,
  what: HttpRequest,
  count = 1,
): Promise<readonly HttpAnswer[]> {
  return ask(
    mesh,
    { namespace: 'shop', name: frontend.metadata.name, node: frontend.spec.nodeName ?? '' },
    what,
    count,
  );
}

async function one(mesh: LocalMesh, frontend: PodView, what: HttpRequest): Promise<HttpAnswer> {
  const [answer] = await request(mesh, frontend, what);
  promise(answer !== undefined, `an answer of ${what.url}`);
  return answer;
}

function statuses(answers: readonly HttpAnswer[]): string {
  return [...new Set(answers.map(({ status, error }) => error ?? String(status)))].join(', ');
}

async function waypointMetrics(mesh: LocalMesh, frontend: PodView): Promise<string> {
  const [waypoint] = await mesh.pods('shop', 'gateway.networking.k8s.io/gateway-name=waypoint');
  promise(waypoint !== undefined, 'the waypoint runs');
  const url = `http://${waypoint.status.podIP}:15020/stats/prometheus`;
  return (await one(mesh, frontend, { url })).body;
}

/** A key of its own and a token signed with it. */
function makeToken(): { readonly jwks: string; readonly token: string } {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const unsigned = `${encode({ alg: 'RS256', kid: 'tour', typ: 'JWT' })}.${encode({ iss: ISSUER, sub: 'keeper', iat: now, exp: now + 3600 })}`;
  const signature = createSign('RSA-SHA256').update(unsigned).sign(privateKey).toString('base64url');
  const jwks = JSON.stringify({
    keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'tour', alg: 'RS256', use: 'sig' }],
  });
  return { jwks, token: `${unsigned}.${signature}` };
}

function requestAuthentication(jwks: string): string {
  return JSON.stringify({
    apiVersion: 'security.istio.io/v1',
    kind: 'RequestAuthentication',
    metadata: { name: 'shop', namespace: 'shop' },
    spec: {
      targetRefs: [{ group: '', kind: 'Service', name: 'catalog' }],
      jwtRules: [{ issuer: ISSUER, jwks }],
    },
  });
}
