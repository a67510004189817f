import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { KubernetesObject } from '@weft/kubernetes';
import { CertificateAuthority, toSpiffeId } from '@weft/spiffe';
import { silentLogger, type Logger } from '@weft/telemetry';
import { TestCluster, pod, podUid, until } from './testing/test-cluster.ts';

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.start();
});

afterEach(() => cluster.close());

const writeMeshConfig = (mesh: string): void => {
  const object: KubernetesObject & { data: Record<string, string> } = {
    metadata: { name: 'istio', namespace: 'istio-system' },
    data: { mesh },
  };
  cluster.api.put('/api/v1/configmaps', object);
};
const namespace = (name: string, labels: Record<string, string> = {}): void => {
  cluster.api.put('/api/v1/namespaces', { metadata: { name, labels } });
};
const rootIn = (name: string): Promise<string | undefined> =>
  cluster.configMapEntry(name, 'istio-ca-root-cert', 'root-cert.pem');

describe('discoverySelectors', () => {
  it('limit what is read to namespaces that match any of them and the root namespace, from the start', async () => {
    namespace('other', { team: 'a' });
    cluster.api.put('/api/v1/pods', pod('other', 'in', 'n1', 'web'));
    writeMeshConfig('discoverySelectors: [{ matchLabels: { team: a } }]');
    const controlPlane = await cluster.controlPlane();
    const proxy = await cluster.connected(controlPlane, 'ztunnel-n1');
    expect(proxy.updates()).toEqual([
      podUid('istio-system', 'ztunnel-n1'),
      podUid('istio-system', 'ztunnel-n2'),
      podUid('other', 'in'),
    ]);
    await until(async () => (await rootIn('other')) === controlPlane.rootsPem);
    expect(await rootIn('istio-system')).toBe(controlPlane.rootsPem);
    expect(await rootIn('shop')).toBeUndefined();
  });

  it('follow the labels of namespaces, and the selectors themselves', async () => {
    writeMeshConfig('discoverySelectors: [{ matchExpressions: [{ key: team, operator: Exists }] }]');
    const controlPlane = await cluster.controlPlane();
    const proxy = await cluster.connected(controlPlane, 'ztunnel-n1');
    const web = podUid('shop', 'web-1');
    expect(proxy.view.has(web)).toBe(false);

    namespace('shop', { team: 'b' });
    await until(() => proxy.view.has(web));
    await until(async () => (await rootIn('shop')) === controlPlane.rootsPem);

    namespace('shop');
    await until(() => !proxy.view.has(web));
    cluster.api.put('/api/v1/pods', pod('shop', 'late', 'n1', 'web'));

    writeMeshConfig('discoverySelectors: []');
    await until(() => proxy.view.has(web) && proxy.view.has(podUid('shop', 'late')));
    writeMeshConfig('discoverySelectors: [{ matchLabels: { team: c } }]');
    await until(() => !proxy.view.has(web));
    expect(proxy.view.has(podUid('istio-system', 'ztunnel-n1'))).toBe(true);
    // What is no selector changes nothing.
    writeMeshConfig('discoverySelectors: [{ matchLabel: { team: c } }]');
    namespace('shop', { team: 'c' });
    await until(() => proxy.view.has(web));
  });
});

describe('the mesh configuration', () => {
  it('stays in force while the next one is invalid, and log, metric and readiness say so', async () => {
    const logged: string[] = [];
    const note = (message: string, fields?: object): void => {
      logged.push(`${message} ${JSON.stringify(fields)}`);
    };
    const logger: Logger = { ...silentLogger, warn: note, error: note, scope: () => logger };
    writeMeshConfig('trustDomain: corp');
    const controlPlane = await cluster.controlPlane({}, { logger });
    const page = async (port: number, path: string): Promise<string> =>
      (await fetch(`http://127.0.0.1:${port}${path}`)).text();
    const ready = () => page(controlPlane.ports.ready, '/ready');
    const metrics = () => page(controlPlane.ports.metrics, '/metrics');
    const proxy = await cluster.connected(controlPlane, 'ztunnel-n1');
    const web = () => JSON.stringify(proxy.view.get(podUid('shop', 'web-1')));
    expect(web()).toContain('"corp"');
    expect(await ready()).toBe('ready\n');

    writeMeshConfig('{ trustDomain: other, discoverySelectors: wrong }');
    const problem = 'mesh configuration: discoverySelectors is not a list';
    await until(async () => (await ready()) !== 'ready\n');
    expect(await ready()).toBe(`ready, but the mesh configuration is invalid and not in force: ${problem}\n`);
    expect(await metrics()).toContain('weft_mesh_config_valid 0');
    expect(logged.filter((line) => line.includes('WEFT1830') && line.includes(problem))).toHaveLength(1);
    expect(web()).toContain('"corp"');

    // Also where nothing else follows from it.
    writeMeshConfig('{ trustDomain: corp, enableAutoMtls: false }');
    await until(async () => (await ready()) === 'ready\n');
    expect(await metrics()).toContain('weft_mesh_config_valid 1');
    writeMeshConfig('{ trustDomain: corp, trustDomainAliases: [old], enableAutoMtls: false }');
    writeMeshConfig('{ trustDomain: last, enableAutoMtls: false }');
    await until(() => web().includes('"last"'));
    expect(logged.filter((line) => line.includes('WEFT1833'))).toEqual([
      expect.stringContaining('enableAutoMtls has no effect'),
    ]);
  });
});

it('starts by the defaults when the mesh configuration is invalid from the start, and says so', async () => {
  writeMeshConfig('{ trustDomain: corp');
  const controlPlane = await cluster.controlPlane();
  const answer = await fetch(`http://127.0.0.1:${controlPlane.ports.ready}/ready`);
  expect([answer.status, await answer.text()]).toEqual([
    200,
    expect.stringContaining('ready, but the mesh configuration is invalid and not in force: '),
  ]);
  const proxy = await cluster.connected(controlPlane, 'ztunnel-n1');
  expect(proxy.view.get(podUid('shop', 'web-1'))).toBeDefined();
});

describe('caCertificates', () => {
  it('are trusted by workloads from their next certificate on, and not as the control plane’s own root', async () => {
    const controlPlane = await cluster.controlPlane();
    const web = toSpiffeId('spiffe://cluster.local/ns/shop/sa/web');
    const rootsOfNext = async () =>
      (await cluster.fetchCertificate(controlPlane, 'ztunnel-n1', web)).rootsPem;
    expect(await rootsOfNext()).toBe(controlPlane.rootsPem);
    const other = await CertificateAuthority.createSelfSigned({ subject: { organizations: ['other'] } });
    const trust = (more: string): void =>
      writeMeshConfig(`caCertificates: [{ pem: ${JSON.stringify(other.certPem)} ${more} }]`);
    trust('');
    await until(async () => (await rootsOfNext()) !== controlPlane.rootsPem);
    expect(await rootsOfNext()).toBe(controlPlane.rootsPem + other.certPem);
    expect(await rootIn('shop')).toBe(controlPlane.rootsPem);
    trust(', trustDomains: [elsewhere]');
    await until(async () => (await rootsOfNext()) === controlPlane.rootsPem);
  });
});
