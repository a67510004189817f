import { request } from 'node:https';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { CertificateAuthority } from '@weft/spiffe';
import { createPrometheusRegistry, silentLogger, systemClock } from '@weft/telemetry';
import { MeshAuthority } from '../ca/mesh-authority.ts';
import { ServingCertificates, servingNames } from '../ca/serving-certificate.ts';
import { admit } from './admission.ts';
import { testWebhook } from './self-test.ts';
import { WebhookServer } from './webhook-server.ts';

const registry = createPrometheusRegistry();
let server: WebhookServer;
let certificates: ServingCertificates;
let roots: string;
let port: number;

beforeEach(() => start(servingNames('istio-system', 'canary', 'cluster.local')));

async function start(dnsNames: readonly string[]): Promise<void> {
  registry.clear();
  const authority = await CertificateAuthority.createSelfSigned({ subject: { commonName: 'test' } });
  roots = authority.rootsPem;
  const common = { clock: systemClock, logger: silentLogger };
  certificates = await ServingCertificates.issue({
    authority: new MeshAuthority({ authority, crlPem: '', certificateTtlMs: 3_600_000, ...common }),
    dnsNames,
    ttlMs: 3_600_000,
    ...common,
  });
  const review = (r: Parameters<typeof admit>[0]) =>
    admit(r, {
      rootNamespace: 'istio-system',
      clusterDomain: 'cluster.local',
      accounts: { trustDomains: ['cluster.local'], has: () => true },
    });
  server = new WebhookServer({ certificates, admit: review, registry, logger: silentLogger });
  port = await server.listen(0);
}

async function stop(): Promise<void> {
  await server.close();
  certificates.close();
}

afterEach(stop);

/** As the API server calls: by the Service's name, trusting the bundle of the webhook configuration. */
function post(path: string, body: string, servername = 'istiod.istio-system.svc') {
  return new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
    const call = request({ port, path, method: 'POST', ca: roots, servername, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += String(chunk)));
      response.on('end', () => resolve({ status: response.statusCode, body: text }));
    });
    call.on('error', reject);
    call.end(body);
  });
}

const review = (spec: unknown): string =>
  JSON.stringify({
    kind: 'AdmissionReview',
    request: {
      uid: 'u1',
      kind: { group: 'security.istio.io', kind: 'AuthorizationPolicy' },
      operation: 'CREATE',
      namespace: 'shop',
      object: { metadata: { name: 'p' }, spec },
    },
  });

it('answers a review with the verdict and its own uid', async () => {
  const refused = await post('/validate?timeout=10s', review({ action: 'DENY' }));
  expect(JSON.parse(refused.body)).toMatchObject({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid: 'u1',
      allowed: false,
      status: { code: 422, message: expect.stringContaining('spec.rules') },
    },
  });
  const allowed = await post('/validate', review({ rules: [{}] }));
  expect(JSON.parse(allowed.body)).toMatchObject({ response: { uid: 'u1', allowed: true } });
  const metrics = await registry.metrics();
  expect(metrics).toContain('galley_validation_failed{kind="AuthorizationPolicy"} 1');
  expect(metrics).toContain('galley_validation_passed{kind="AuthorizationPolicy"} 1');
});

it.each([
  'istiod.istio-system.svc',
  'istiod-canary.istio-system.svc.cluster.local',
  'istio-pilot.istio-system.svc',
])('is trusted as %s', async (name) => {
  expect((await post('/validate', review({}), name)).status).toBe(200);
});

it('refuses garbage, other paths and bodies without end', async () => {
  expect(await post('/validate', 'garbage')).toMatchObject({
    status: 400,
    body: expect.stringContaining('WEFT1811'),
  });
  expect((await post('/inject', '{}')).status).toBe(404);
  expect((await post('/validate', 'x'.repeat(9 * 1024 * 1024))).status).toBe(413);
});

it('passes its own test only under its own name and root', async () => {
  const { signal } = new AbortController();
  const url = `https://localhost:${port}/validate`;
  await expect(testWebhook({ url }, roots, signal)).rejects.toThrow(/altnames/);
  const other = await CertificateAuthority.createSelfSigned({ subject: { commonName: 'other' } });
  await expect(testWebhook({ url }, other.rootsPem, signal)).rejects.toThrow(/certificate/);
  await expect(testWebhook({}, roots, signal)).rejects.toThrow('neither url nor service');
  await stop();
  await start(['localhost']);
  await testWebhook({ url: `https://localhost:${port}/validate` }, roots, signal);
  await expect(testWebhook({ url: `https://localhost:${port}/` }, roots, signal)).rejects.toThrow(
    'answered 404',
  );
});
