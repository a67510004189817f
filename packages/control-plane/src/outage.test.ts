import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { toSpiffeId } from '@weft/spiffe';
import type { ControlPlane } from './control-plane.ts';
import { TestCluster, expiringToken, fastClock, pod, podUid, until } from './testing/test-cluster.ts';

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.start();
});

afterEach(() => cluster.close());

const page = async (port: number, path: string): Promise<{ status: number; text: string }> => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: answer.status, text: await answer.text() };
};
const ready = ({ ports }: ControlPlane) => page(ports.ready, '/ready');

it('serves what it knew while the API server is away, says so, and catches up', async () => {
  const controlPlane = await cluster.controlPlane({}, { clock: fastClock(20) });
  const token = expiringToken('ztunnel-n1');
  await cluster.connected(controlPlane, token);
  expect(await ready(controlPlane)).toEqual({ status: 200, text: 'ready\n' });

  const answering = cluster.api.intercept;
  cluster.api.intercept = (_request, response) => {
    response.destroy();
    return true;
  };
  await until(async () => (await ready(controlPlane)).text.startsWith('ready, but the Kubernetes API'));
  const metrics = await page(controlPlane.ports.metrics, '/metrics');
  expect(metrics.text).toContain('weft_kubernetes_api_reachable 0');
  const proxy = await cluster.connected(controlPlane, token);
  expect(proxy.view.has(podUid('shop', 'web-1'))).toBe(true);
  const web = toSpiffeId('spiffe://cluster.local/ns/shop/sa/web');
  expect((await cluster.fetchCertificate(controlPlane, token, web)).identity).toBe(web);

  cluster.api.put('/api/v1/pods', pod('shop', 'late', 'n1', 'web'));
  cluster.api.intercept = answering;
  await until(async () => (await ready(controlPlane)).text === 'ready\n');
  await until(() => proxy.view.has(podUid('shop', 'late')));
});

it.each([0, 1])('loses nothing when replica %i is killed in the middle of a rollout', async (killed) => {
  const clock = fastClock(5);
  const replicas = [await cluster.controlPlane({}, { clock }), await cluster.controlPlane({}, { clock })];
  const [victim, survivor] = [replicas[killed], replicas[1 - killed]];
  if (victim === undefined || survivor === undefined) throw new Error('no replicas');
  const proxy = cluster.createProxy();
  const { hangUp } = proxy.connect(victim, 'ztunnel-n1');
  await proxy.ready();
  const PODS = 40;
  for (let i = 0; i < PODS; i++) {
    cluster.api.put('/api/v1/pods', pod('shop', `new-${i}`, 'n1', 'web'));
    if (i === PODS / 2) {
      await until(() => proxy.view.has(podUid('shop', 'new-1')));
      await victim.close();
      hangUp();
      proxy.connect(survivor, 'ztunnel-n1');
    }
    if (i % 2 === 0) cluster.api.remove('/api/v1/pods', `new-${i}`, 'shop');
  }
  const expected = [...Array(PODS).keys()].filter((i) => i % 2 === 1).map((i) => podUid('shop', `new-${i}`));
  const seen = (): string[] => [...proxy.view.keys()].filter((name) => name.includes('/new-'));
  await until(() => seen().length === expected.length && expected.every((name) => proxy.view.has(name)));
  // Of the two only one may write, so ConfigMaps come from whoever is left.
  cluster.api.put('/api/v1/namespaces', { metadata: { name: 'late' } });
  const root = () => cluster.configMapEntry('late', 'istio-ca-root-cert', 'root-cert.pem');
  await until(async () => (await root()) === survivor.rootsPem);
});

it('exports what Istio’s dashboard of the control plane asks for', async () => {
  const controlPlane = await cluster.controlPlane();
  await cluster.connected(controlPlane, 'ztunnel-n1');
  const web = toSpiffeId('spiffe://cluster.local/ns/shop/sa/web');
  await cluster.fetchCertificate(controlPlane, 'ztunnel-n1', web);
  cluster.api.put('/api/v1/pods', pod('shop', 'web-22', 'n1', 'web'));
  const shown = async () => (await page(controlPlane.ports.metrics, '/metrics')).text;
  await until(async () => /pilot_proxy_convergence_time_count [1-9]/.test(await shown()));
  const text = await shown();
  for (const line of [
    /^pilot_info\{version="test"\} 1$/m,
    /^pilot_services 0$/m,
    /^pilot_xds\{version="test"\} 1$/m,
    /^pilot_xds_pushes\{type="wds"\} [1-9]/m,
    /^pilot_xds_pushes\{type="wads"\} [1-9]/m,
    /^pilot_xds_config_size_bytes_count\{type="type.googleapis.com\/istio.workload.Address"\} [1-9]/m,
    /^pilot_xds_push_time_count\{type="wds"\} [1-9]/m,
    /^pilot_xds_send_time_count [1-9]/m,
    /^pilot_proxy_queue_time_count [1-9]/m,
    /^pilot_debounce_time_count [1-9]/m,
    /^pilot_push_triggers\{type="endpoint"\} [1-9]/m,
    /^pilot_inbound_updates\{type="eds"\} [1-9]/m,
    /^pilot_xds_expired_nonce 0$/m,
    /^pilot_total_xds_rejects 0$/m,
    /^pilot_xds_(cds|eds|lds|rds)_reject 0$/m,
    /^pilot_k8s_reg_events\{/m,
    /^istiod_managed_clusters\{cluster_type="local"\} 1$/m,
    /^citadel_server_csr_count 1$/m,
    /^citadel_server_success_cert_issuance_count 1$/m,
    /^citadel_server_root_cert_expiry_timestamp \d+$/m,
    /^citadel_server_cert_chain_expiry_timestamp \d+$/m,
  ])
    expect(text).toMatch(line);
});
