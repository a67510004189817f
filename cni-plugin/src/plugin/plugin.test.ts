import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger } from '@weft/telemetry';
import { writeFileSync } from 'node:fs';
import { PluginServer, type AddRequest } from '../agent/plugin-server.ts';
import { invoke, parseArguments, type Invocation } from './plugin.ts';

describe('CNI plugin', () => {
  let dir: string;
  const objects = new Map<string, unknown>();
  const api = createServer((request, response) => {
    const found = objects.get(request.url ?? '');
    response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(found ?? { kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404 }),
    );
  });
  const prevResult = { cniVersion: '1.0.0', ips: [{ address: '10.0.0.5/24', gateway: '10.0.0.1' }] };
  const call = (
    command: string,
    o: { pod?: string; namespace?: string; config?: object } = {},
  ): Promise<{ exitCode: number; output: string }> => {
    const invocation: Invocation = {
      command,
      netns: '/var/run/netns/cni-1',
      arguments_: parseArguments(
        `IgnoreUnknown=1;K8S_POD_NAMESPACE=${o.namespace ?? 'shop'};K8S_POD_NAME=${o.pod ?? 'p'}`,
      ),
      stdin: JSON.stringify({
        cniVersion: '1.0.0',
        cni_agent_run_dir: dir,
        enablement_selectors: [{ namespaceSelector: { matchLabels: { mesh: 'on' } } }],
        exclude_namespaces: ['kube-system'],
        pod_namespace: 'istio-system',
        prevResult,
        ...o.config,
      }),
    };
    return invoke(invocation);
  };

  beforeEach(async () => {
    dir = mkdtempSync(path.join(tmpdir(), 'plugin-'));
    objects.clear();
    api.listen(0, '127.0.0.1');
    await once(api, 'listening');
    const address = api.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    writeFileSync(
      path.join(dir, 'istio-cni-kubeconfig'),
      JSON.stringify({
        clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
        users: [{ name: 'u', user: { token: 't' } }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'x',
      }),
    );
    objects.set('/api/v1/namespaces/shop', { metadata: { name: 'shop', labels: { mesh: 'on' } } });
    objects.set('/api/v1/namespaces/shop/pods/p', { metadata: { name: 'p', namespace: 'shop' }, spec: {} });
  });
  afterEach(async () => {
    api.closeAllConnections();
    api.close();
    await once(api, 'close');
    rmSync(dir, { recursive: true });
  });

  it('tells which versions of the specification it speaks', async () => {
    expect(JSON.parse((await call('VERSION')).output)).toMatchObject({
      supportedVersions: expect.arrayContaining(['0.3.1', '1.1.0']),
    });
  });

  it.each(['DEL', 'CHECK', 'GC', 'STATUS'])('%s succeeds and prints nothing', async (command) => {
    expect(await call(command)).toEqual({ exitCode: 0, output: '' });
  });

  it('has a pod of the mesh redirected and passes on the result of the plugin before it', async () => {
    const requests: AddRequest[] = [];
    const agent = await PluginServer.listen(
      path.join(dir, 'pluginevent.sock'),
      (r) => Promise.resolve(void requests.push(r)),
      {
        logger: silentLogger,
      },
    );
    const { exitCode, output } = await call('ADD');
    expect({ exitCode, output: JSON.parse(output) }).toEqual({ exitCode: 0, output: prevResult });
    expect(requests).toEqual([
      { netns: '/var/run/netns/cni-1', podName: 'p', podNamespace: 'shop', addresses: ['10.0.0.5'] },
    ]);
    await agent.close();
  });

  it('fails when the agent does not answer, so that no pod starts outside the mesh', async () => {
    const { exitCode, output } = await call('ADD');
    expect(exitCode).toBe(1);
    expect(JSON.parse(output)).toMatchObject({
      cniVersion: '1.0.0',
      code: 11,
      msg: expect.stringContaining('WEFT1701'),
    });
    expect(readFileSync(path.join(dir, 'istio-cni.log'), 'utf8')).toContain('shop/p\tfailed');
  });

  it('fails with the agent’s reason when it refuses', async () => {
    const agent = await PluginServer.listen(
      path.join(dir, 'pluginevent.sock'),
      () => Promise.reject(new Error('no ztunnel')),
      {
        logger: silentLogger,
      },
    );
    expect(JSON.parse((await call('ADD')).output)).toMatchObject({
      code: 11,
      msg: expect.stringContaining('no ztunnel'),
    });
    await agent.close();
  });

  it.each([
    ['a pod outside the mesh', { namespace: 'plain' }],
    ['an excluded namespace', { namespace: 'kube-system' }],
    ['the agent’s own pod', { namespace: 'istio-system', pod: 'istio-cni-node-x' }],
    ['a pod that was deleted meanwhile', { pod: 'gone' }],
  ])('lets %s pass without an agent', async (_what, where) => {
    objects.set('/api/v1/namespaces/plain', { metadata: { name: 'plain' } });
    objects.set('/api/v1/namespaces/plain/pods/p', { metadata: { name: 'p', namespace: 'plain' }, spec: {} });
    expect((await call('ADD', where)).exitCode).toBe(0);
  });

  it('fails when it can not find out whether the pod belongs to the mesh', async () => {
    rmSync(path.join(dir, 'istio-cni-kubeconfig'));
    expect((await call('ADD')).exitCode).toBe(1);
  });

  it.each([
    [{ cniVersion: '9.9.9' }, 1],
    [{ enablement_selectors: 'x' }, 6],
  ])('answers a bad configuration %j with the code of the specification', async (config, code) => {
    expect(JSON.parse((await call('ADD', { config })).output)).toMatchObject({ code });
  });
});
