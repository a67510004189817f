import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { withUmbrellaChart } from './charts.ts';
import { ensureKubernetesClients } from './kubernetes-clients.ts';
import { capture } from './run-program.ts';

describe('the charts', () => {
  let helm: string;
  let dir: string;
  let chart: string;

  beforeAll(async () => {
    ({ helm } = await ensureKubernetesClients());
    dir = await mkdtemp(path.join(tmpdir(), 'weft-charts-test-'));
    chart = path.join(dir, 'ambient');
    await withUmbrellaChart(helm, (built) => cp(built, chart, { recursive: true }));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const rendered = (...flags: readonly string[]): Promise<string> =>
    capture(helm, [
      'template',
      'weft',
      chart,
      '--namespace',
      'mesh',
      '--set',
      'base.istioCRDs=false',
      ...flags,
    ]);

  it.each([
    'ztunel.logLevel=debug',
    'ztunnel.logLvel=debug',
    'ztunnel.multiCluster.clusterNam=x',
    'base.gatewayApiCRDs=true',
    'istiod.replicaCont=2',
    'cni.logging.lvl=debug',
    'cni.resources.limit.cpu=1',
    'global.hubb=x',
    'base.global.istioNamspace=x',
  ])('refuse %s, a value that nobody reads', async (value) => {
    await expect(rendered('--set', value)).rejects.toThrow(/additional properties .* not allowed/);
  });

  it('capture DNS and use nftables where that is said', async () => {
    const text = await rendered('--set', 'cni.ambient.dnsCapture=true,global.nativeNftables=true');
    expect(text).toMatch(/name: AMBIENT_DNS_CAPTURE\n\s+value: "true"/);
    expect(text).toMatch(/name: NATIVE_NFTABLES\n\s+value: "true"/);
  });

  it('keep to the namespace of the release', async () => {
    const text = await rendered();
    expect(text).toContain('value: "istiod.mesh.svc:15012"');
    expect([...new Set(text.match(/^ {2}namespace: .*/gm))]).toEqual(['  namespace: mesh']);
  });

  it('let the control plane be in another namespace, said once', async () => {
    const text = await rendered('--set', 'global.istioNamespace=control');
    expect(text).toContain('value: "istiod.control.svc:15012"');
  });

  it('hand global values to every part, whose own win', async () => {
    const text = await rendered(
      '--set',
      'global.logAsJson=true,global.logging.level=warn,global.network=n1,global.multiCluster.clusterName=c1,ztunnel.logLevel=debug',
    );
    const values = (name: string): readonly string[] =>
      [...text.matchAll(new RegExp(`name: ${name}\\n\\s+value: (.*)`, 'g'))].map(([, v]) => v ?? '');
    expect(values('LOG_FORMAT').map((v) => v.replaceAll('"', ''))).toEqual(['json', 'json', 'json']);
    expect(values('LOG_LEVEL')).toEqual(['"warn"', '"warn"']);
    expect(values('RUST_LOG')).toEqual(['"debug"']);
    expect(values('NETWORK')).toEqual(['"n1"']);
    expect(new Set(values('CLUSTER_ID'))).toEqual(new Set(['"c1"']));
  });

  it('pass helm’s own inspection', async () => {
    expect(await capture(helm, ['lint', chart])).toContain('0 chart(s) failed');
  });
});
