import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { eventually } from './kit/eventually.ts';
import { LocalMesh, workspace } from './kit/local-mesh.ts';

jest.setTimeout(90_000);

/** Parts of the mesh may do what their charts say and nothing else: a rule that is missing must show, here first. */
describe('a chart with a rule too few', () => {
  let mesh: LocalMesh;
  let charts: string;

  beforeAll(async () => {
    mesh = await LocalMesh.start({ name: 'chart-rights' });
    charts = await mkdtemp(path.join(tmpdir(), 'weft-chart-rights-'));
    await cp(path.join(workspace, 'helm'), charts, { recursive: true });
    await mesh.kubectl('create', 'namespace', 'istio-system');
    await mesh.helm('install', 'base', path.join(charts, 'base'), '-n', 'istio-system');
  }, 120_000);
  afterAll(async () => {
    await mesh?.stop();
    await rm(charts, { recursive: true, force: true });
  }, 60_000);

  /** Installs a chart from which one rule was taken; the log of the pods that it starts. */
  const logWithout = async (chart: string, rule: RegExp, pods: string): Promise<string> => {
    const file = path.join(charts, chart, 'templates/rbac.yaml');
    const intact = await readFile(file, 'utf8');
    const broken = intact.replace(rule, '');
    expect(broken).not.toBe(intact);
    await writeFile(file, broken);
    try {
      await mesh.helm('upgrade', '--install', chart, path.join(charts, chart), '-n', 'istio-system');
      return await eventually(30_000, async () => {
        const log = await mesh.kubectl('logs', '-n', 'istio-system', '-l', pods, '--tail=-1');
        expect(log).toMatch(/forbidden/i);
        return log;
      });
    } finally {
      await writeFile(file, intact);
    }
  };

  it('names what the control plane may not do, and leaves it not ready', async () => {
    const log = await logWithout(
      'control-plane',
      / {2}- apiGroups: \[discovery\.k8s\.io\]\n.*\n.*\n/,
      'app=istiod',
    );
    expect(log).toMatch(
      /system:serviceaccount:istio-system:istiod\W+ cannot (list|watch) resource \W+endpointslices/,
    );
    const ready = await mesh.kubectl(
      'get',
      'deployment/istiod',
      '-n',
      'istio-system',
      '-o',
      'jsonpath={.status.readyReplicas}',
    );
    expect(Number(ready)).toBe(0);
  });

  it('names what the CNI agent may not do, and the agent works once it may', async () => {
    const log = await logWithout('cni', /, namespaces(?=\])/, 'k8s-app=istio-cni-node');
    expect(log).toMatch(
      /system:serviceaccount:istio-system:istio-cni\W+ cannot (list|watch) resource \W+namespaces/,
    );
    await mesh.helm('upgrade', '--install', 'cni', path.join(charts, 'cni'), '-n', 'istio-system');
    await mesh.rollout('istio-system', 'daemonset/istio-cni-node');
  });
});
