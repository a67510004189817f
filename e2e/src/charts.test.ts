import { cp, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { withUmbrellaChart } from '@weft/cli';
import { eventually } from './kit/eventually.ts';
import { LocalMesh, workspace } from './kit/local-mesh.ts';
import { NodeInspector } from './kit/node-inspector.ts';
import { deploy, request, type Deployed } from './kit/workloads.ts';

jest.setTimeout(120_000);

/** Ways in which people install charts, one after another on one cluster. */
describe('the charts', () => {
  let mesh: LocalMesh;
  let dir: string;
  let pods: ReadonlyMap<string, Deployed>;
  const chart = (name: string): string => path.join(dir, name);
  const crd = async (
    name: string,
  ): Promise<{ metadata: { uid: string; annotations?: Record<string, string> } }> =>
    mesh.json('get', 'crd', name);
  const captured = async (): Promise<void> => {
    await mesh.untilRedirected('inside', true);
    const [client, server] = [pods.get('client'), pods.get('server-2')];
    if (client === undefined || server === undefined) throw new Error('no pods');
    await eventually(30_000, async () => {
      expect(await request(mesh, client, `http://${server.ip}:8080/`)).toMatchObject({ pod: 'server-2' });
    });
  };
  const clean = async (): Promise<void> => {
    for (const node of ['node-1', 'node-2']) {
      const inspector = await NodeInspector.on(mesh, node);
      await eventually(30_000, async () => expect(await inspector.residue()).toBe(''));
    }
  };

  beforeAll(async () => {
    mesh = await LocalMesh.start({ name: 'charts' });
    dir = await mkdtemp(path.join(tmpdir(), 'weft-e2e-charts-'));
    await withUmbrellaChart(mesh.helmPath, (built) => cp(path.dirname(built), dir, { recursive: true }));
    pods = await deploy(mesh, 'inside', { 'istio.io/dataplane-mode': 'ambient' }, [
      { namespace: 'inside', name: 'client', node: 'node-1' },
      { namespace: 'inside', name: 'server-2', node: 'node-2' },
    ]);
  }, 120_000);
  afterAll(async () => {
    await mesh?.stop();
    await rm(dir, { recursive: true, force: true });
  }, 60_000);

  it('leave the definitions of Istio and of the Gateway API alone that somebody else installed', async () => {
    for (const folder of ['istio-crds', 'gateway-api-crds']) {
      const files = path.join(workspace, 'helm/base/files', folder);
      for (const file of (await readdir(files)).filter((f) => /^(authorizationpolicies|gateways)\./.test(f)))
        await mesh.apply(await readFile(path.join(files, file), 'utf8'));
    }
    const before = await crd('authorizationpolicies.security.istio.io');
    await mesh.kubectl('create', 'namespace', 'istio-system');
    await mesh.helm(
      'install',
      'base',
      chart('base'),
      '-n',
      'istio-system',
      '--set',
      'gatewayAPICRDs=true',
      '--wait',
    );
    const after = await crd('authorizationpolicies.security.istio.io');
    expect(after.metadata.uid).toBe(before.metadata.uid);
    expect(after.metadata.annotations ?? {}).not.toHaveProperty(['meta.helm.sh/release-name']);
    const gateways = await crd('gateways.gateway.networking.k8s.io');
    expect(gateways.metadata.annotations ?? {}).not.toHaveProperty(['meta.helm.sh/release-name']);
    const routes = await crd('httproutes.gateway.networking.k8s.io');
    expect(routes.metadata.annotations).toMatchObject({ 'meta.helm.sh/release-name': 'base' });
  });

  it('make a mesh one by one, and again with the values of before', async () => {
    const wait = ['-n', 'istio-system', '--wait', '--timeout', '60s'];
    await mesh.helm('install', 'istiod', chart('control-plane'), ...wait);
    await mesh.helm('install', 'istio-cni', chart('cni'), ...wait);
    await mesh.helm('install', 'ztunnel', chart('ztunnel'), ...wait, '--set', 'logLevel=debug');
    await captured();
    for (const [release, name] of [
      ['base', 'base'],
      ['istiod', 'control-plane'],
      ['istio-cni', 'cni'],
      ['ztunnel', 'ztunnel'],
    ] as const)
      await mesh.helm('upgrade', release, chart(name), ...wait, '--reuse-values');
    expect(await mesh.kubectl('get', 'daemonset', 'ztunnel', '-n', 'istio-system', '-o', 'yaml')).toMatch(
      /name: RUST_LOG\s+value: debug/,
    );
    await captured();
    for (const release of ['ztunnel', 'istio-cni', 'istiod', 'base'])
      await mesh.helm('uninstall', release, '-n', 'istio-system', '--wait', '--timeout', '60s');
    await clean();
  });

  it('make a mesh as one release in a namespace of any name, again and again', async () => {
    const install = ['install', 'mine', chart('ambient'), '-n', 'mesh', '--create-namespace', '--wait'];
    for (let round = 1; round <= 2; round++) {
      await mesh.helm(...install, '--timeout', '60s');
      // An agent that came up before its ztunnel tries the pods again a moment later.
      await eventually(30_000, async () =>
        expect(await mesh.weft('check', '-i', 'mesh')).toMatch(/2 of 2 labelled pods are in the mesh/),
      );
      await captured();
      await mesh.helm('uninstall', 'mine', '-n', 'mesh', '--wait', '--timeout', '60s');
      await clean();
    }
  });
});
