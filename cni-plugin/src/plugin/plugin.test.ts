import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger } from '@weft/telemetry';
import { listenForPlugins, type AddRequest } from '../agent/plugin-server.ts';
import type { UnixHttpServer } from '../agent/unix-http-server.ts';
import { listenForPluginLogs, type PluginLogLine } from '../agent/plugin-log-server.ts';
import type { Outcome } from './cni-protocol.ts';
import { MAX_LOG_BYTES } from './plugin-log.ts';
import { invoke } from './plugin.ts';

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
    o: { pod?: string; namespace?: string; config?: object; signal?: AbortSignal } = {},
  ): Promise<Outcome> => {
    const environment = {
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: 'c1',
      CNI_IFNAME: 'eth0',
      CNI_NETNS: '/var/run/netns/cni-1',
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${o.namespace ?? 'shop'};K8S_POD_NAME=${o.pod ?? 'p'}`,
    };
    const config = {
      cniVersion: '1.0.0',
      cni_agent_run_dir: dir,
      plugin_log_level: 'debug',
      enablement_selectors: [{ namespaceSelector: { matchLabels: { mesh: 'on' } } }],
      exclude_namespaces: ['kube-system'],
      pod_namespace: 'istio-system',
      prevResult,
      ...o.config,
    };
    return invoke(
      environment,
      () => Promise.resolve(JSON.stringify(config)),
      o.signal ?? new AbortController().signal,
    );
  };
  const agentThat = (answers: (request: AddRequest) => Promise<void>): Promise<UnixHttpServer> =>
    listenForPlugins(path.join(dir, 'pluginevent.sock'), answers, { logger: silentLogger });

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

  it('has a pod of the mesh redirected and passes on the result of the plugin before it', async () => {
    const requests: AddRequest[] = [];
    const agent = await agentThat((r) => Promise.resolve(void requests.push(r)));
    const { exitCode, output } = await call();
    expect({ exitCode, output: JSON.parse(output) }).toEqual({ exitCode: 0, output: prevResult });
    expect(requests).toEqual([
      { netns: '/var/run/netns/cni-1', podName: 'p', podNamespace: 'shop', addresses: ['10.0.0.5'] },
    ]);
    await agent.close();
  });

  it('fails when the agent does not answer, so that no pod starts outside the mesh', async () => {
    const { exitCode, output } = await call();
    expect(exitCode).toBe(1);
    expect(JSON.parse(output)).toMatchObject({
      cniVersion: '1.0.0',
      code: 11,
      msg: expect.stringContaining('WEFT1701'),
    });
    expect(readFileSync(path.join(dir, 'istio-cni.log'), 'utf8')).toContain('error\tshop/p\tfailed');
  });

  it('fails with the agent’s reason when it refuses', async () => {
    const agent = await agentThat(() => Promise.reject(new Error('no ztunnel')));
    expect(JSON.parse((await call()).output)).toMatchObject({
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
    expect((await call(where)).exitCode).toBe(0);
  });

  it('fails when it can not find out whether the pod belongs to the mesh', async () => {
    rmSync(path.join(dir, 'istio-cni-kubeconfig'));
    expect((await call()).exitCode).toBe(1);
  });

  it('gives the agent what it knows of the addresses, as Go spells them', async () => {
    let body: unknown;
    const agent = createServer((request, response) => {
      request.setEncoding('utf8').on('data', (text: string) => {
        body = JSON.parse(text);
        response.end();
      });
    });
    agent.listen(path.join(dir, 'pluginevent.sock'));
    await once(agent, 'listening');
    const ips = [{ address: '10.0.0.5/24', gateway: '10.0.0.1', interface: 2 }, { address: 'fd00::5/65' }];
    expect((await call({ config: { prevResult: { ips } } })).exitCode).toBe(0);
    expect(body).toEqual({
      Netns: '/var/run/netns/cni-1',
      PodName: 'p',
      PodNamespace: 'shop',
      IPs: [
        { Interface: 2, Address: { IP: '10.0.0.5', Mask: '////AA==' }, Gateway: '10.0.0.1' },
        { Interface: null, Address: { IP: 'fd00::5', Mask: '//////////+AAAAAAAAAAA==' }, Gateway: null },
      ],
    });
    agent.closeAllConnections();
    agent.close();
    await once(agent, 'close');
  });

  it('gives up on an agent that does not answer in time', async () => {
    const deadline = new AbortController();
    const agent = await agentThat(() => {
      deadline.abort();
      return new Promise(() => undefined);
    });
    expect(JSON.parse((await call({ signal: deadline.signal })).output)).toMatchObject({
      code: 11,
      msg: expect.stringContaining('no answer in time'),
    });
    await agent.close();
  });

  it('tells the agent’s log what it did, at the level that it is told to', async () => {
    const lines: PluginLogLine[] = [];
    const log = await listenForPluginLogs(path.join(dir, 'log.sock'), (line) => lines.push(line));
    await call();
    await call({ namespace: 'kube-system' });
    await call({ namespace: 'kube-system', config: { plugin_log_level: 'info' } });
    expect(lines.map(({ level, msg }) => `${level} ${msg.replace(/:.*/, '')}`)).toEqual([
      'error shop/p\tfailed',
      'debug kube-system/p\tnot for the mesh',
    ]);
    await log.close();
  });

  it('begins a new log file when one is full, and keeps the last', async () => {
    const file = path.join(dir, 'istio-cni.log');
    writeFileSync(file, '');
    truncateSync(file, MAX_LOG_BYTES + 1);
    await call({ namespace: 'kube-system' });
    expect(statSync(`${file}.1`).size).toBe(MAX_LOG_BYTES + 1);
    expect(readFileSync(file, 'utf8')).toContain('kube-system/p');
  });
});
