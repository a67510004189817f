import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { eventually } from './kit/eventually.ts';
import { LocalMesh, workspace, type PodView } from './kit/local-mesh.ts';
import { NodeInspector } from './kit/node-inspector.ts';
import { killContainer, rebootNode } from './kit/node-process.ts';
import {
  OpenConnection,
  Traffic,
  deploy,
  deployed,
  isReady,
  request,
  type Deployed,
} from './kit/workloads.ts';

const SYSTEM = 'istio-system';
const GARBAGE = `${workspace}e2e/dist/programs/send-garbage.js`;

jest.setTimeout(90_000);

/** What goes wrong on a real cluster sooner or later, on one installation after another. */
describe('on a bad day', () => {
  let mesh: LocalMesh;
  let pods: ReadonlyMap<string, Deployed>;
  let stranger: Deployed;
  let inspector: NodeInspector;
  const pod = (name: string): Deployed => {
    const found = pods.get(name);
    if (found === undefined) throw new Error(`no pod ${name}`);
    return found;
  };
  const workloads = [
    { namespace: 'inside', name: 'client', node: 'node-1' },
    { namespace: 'inside', name: 'server-1', node: 'node-1' },
    { namespace: 'inside', name: 'server-2', node: 'node-2' },
  ];
  const component = async (app: string, node: string): Promise<PodView> => {
    const found = (await mesh.pods(SYSTEM, app)).find((p) => p.spec.nodeName === node);
    if (found === undefined) throw new Error(`no ${app} on ${node}`);
    return found;
  };
  const ztunnel = (node: string): Promise<PodView> => component('app=ztunnel', node);
  const agent = (node: string): Promise<PodView> => component('k8s-app=istio-cni-node', node);
  /** A metric as an unmeshed pod scrapes it; 0 when there is no such series. */
  const metric = async (url: string, series: string): Promise<number> => {
    const script = `fetch(${JSON.stringify(url)}).then((r) => r.text()).then((t) => console.log(t))`;
    const text = await mesh.exec('outside', 'stranger', process.execPath, '-e', script);
    const line = text.split('\n').find((l) => l.startsWith(`${series} `));
    return Number(line?.split(' ')[1] ?? 0);
  };
  const ztunnelErrors = async (node: string, code: string): Promise<number> =>
    metric(
      `http://${(await ztunnel(node)).status.podIP}:15020/stats/prometheus`,
      `weft_errors_total{code="${code}"}`,
    );
  const garbage = async (namespace: string, from: string, ...to: readonly string[]): Promise<string> =>
    (await mesh.exec(namespace, from, process.execPath, GARBAGE, ...to)).trim();
  const reachable = async (name: string, from = pod('client')): Promise<void> => {
    expect(await request(mesh, from, `http://${pod(name).ip}:8080/`)).toMatchObject({ pod: name });
  };
  const everyoneReachable = (timeoutMs: number): Promise<void> =>
    eventually(timeoutMs, async () => {
      await reachable('server-1');
      await reachable('server-2');
    });
  const newPod = (name: string): Promise<string> =>
    mesh.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'inside' },
        spec: {
          nodeName: 'node-1',
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'app', image: 'weft/sample:0.1.0', args: ['server'] }],
        },
      }),
    );

  beforeAll(async () => {
    mesh = await LocalMesh.start({ name: 'bad-days' });
    await mesh.install();
    pods = await deploy(mesh, 'inside', { 'istio.io/dataplane-mode': 'ambient' }, workloads);
    const strangers = [{ namespace: 'outside', name: 'stranger', node: 'node-1' }];
    stranger = [...(await deploy(mesh, 'outside', {}, strangers)).values()][0] as Deployed; // just deployed
    await mesh.untilRedirected('inside', true);
    inspector = await NodeInspector.on(mesh, 'node-1');
    await everyoneReachable(20_000);
  }, 180_000);
  afterAll(() => mesh?.stop(), 60_000);

  describe('somebody pokes at the mesh’s own ports', () => {
    it.each([
      ['15001 of a pod, from outside', 'outside', 'stranger', '15001', 'WEFT1314'],
      ['15006 of a pod, from outside', 'outside', 'stranger', '15006', 'WEFT1314'],
      ['15001 of its own pod', 'inside', 'server-1', '15001', 'WEFT1314'],
      ['15006 of its own pod', 'inside', 'server-1', '15006', 'WEFT1314'],
      ['15008 with no TLS', 'outside', 'stranger', '15008', 'WEFT1201'],
    ])('%s: hung up on, counted by code, and nothing else', async (_what, namespace, from, port, code) => {
      const before = await ztunnelErrors('node-1', code);
      const host = namespace === 'inside' ? '127.0.0.1' : pod('server-1').ip;
      expect(await garbage(namespace, from, 'tcp', host, port)).toBe('closed');
      await eventually(5_000, async () => expect(await ztunnelErrors('node-1', code)).toBe(before + 1));
      await reachable('server-1');
      await reachable('server-1', stranger);
    });

    it('the ZDS socket: cut off, counted by code, and the real ztunnel stays', async () => {
      const { metadata, status } = await agent('node-1');
      const errors = (): Promise<number> =>
        metric(`http://${status.podIP}:15014/metrics`, 'weft_errors_total{code="WEFT1707"}');
      const before = await errors();
      expect(await garbage(SYSTEM, metadata.name, 'seqpacket', '/var/run/ztunnel/ztunnel.sock')).toBe(
        'closed',
      );
      await eventually(5_000, async () => expect(await errors()).toBe(before + 1));
      expect(await metric(`http://${status.podIP}:15014/metrics`, 'ztunnel_connected')).toBe(1);
    });

    it.each([
      ['15010', 'WEFT1822'],
      ['15012', 'WEFT1822'],
    ])('the xDS port %s: hung up on, counted by code, and the proxies stay', async (port, code) => {
      const istiod = (await mesh.pods(SYSTEM, 'app=istiod'))[0];
      const url = `http://${istiod?.status.podIP}:15014/metrics`;
      const refusals = (): Promise<number> => metric(url, `weft_xds_refusals{code="${code}"}`);
      const before = await refusals();
      expect(await garbage('outside', 'stranger', 'tcp', istiod?.status.podIP ?? '', port)).toBe('closed');
      await eventually(5_000, async () => expect(await refusals()).toBe(before + 1));
    });
  });

  it('the CNI agent restarts, and traffic and probes flow on', async () => {
    const traffic = new Traffic(mesh, pod('client'), `http://${pod('server-2').ip}:8080/`);
    await mesh.kubectl('rollout', 'restart', '-n', SYSTEM, 'daemonset/istio-cni-node');
    await mesh.rollout(SYSTEM, 'daemonset/istio-cni-node');
    expect((await traffic.stop()).bad).toEqual([]);
    expect((await mesh.pods('inside')).every(isReady)).toBe(true);
  });

  it('a pod flushes its own rules: it is noticed, told on the pod, and repaired', async () => {
    await mesh.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'vandal', namespace: 'inside' },
        spec: {
          nodeName: 'node-1',
          terminationGracePeriodSeconds: 0,
          containers: [
            {
              name: 'shell',
              image: 'localhost/host',
              command: ['sleep', '3600'],
              securityContext: { privileged: true, runAsUser: 0 },
            },
          ],
        },
      }),
    );
    const captured = (status: 'True' | 'False'): Promise<void> =>
      eventually(60_000, async () => {
        const found = (await mesh.pods('inside')).find((p) => p.metadata.name === 'vandal');
        expect(found?.status.conditions).toContainEqual(
          expect.objectContaining({ type: 'weft.dev/Captured', status }),
        );
      });
    await captured('True');
    // Whichever back end the agent of the node found; the other one has no such chain.
    const flush = ['nft', 'legacy'].map((v) => `iptables-${v} -t nat -F ISTIO_OUTPUT`).join(' || ');
    const script = `export PATH=$PATH:/usr/sbin:/sbin; ${flush}`;
    await mesh.exec('inside', 'vandal', 'sh', '-c', script);
    await eventually(40_000, async () => {
      const events = await mesh.kubectl('get', 'events', '-n', 'inside', '-o', 'wide');
      expect(events).toMatch(/NotCaptured +pod\/vandal.*(RulesDiffer|NotRedirected)/);
    });
    await captured('True');
    const rules = script.replaceAll('-F ISTIO_OUTPUT', '-S ISTIO_OUTPUT | grep REDIRECT');
    expect(await mesh.exec('inside', 'vandal', 'sh', '-c', rules)).toContain('--to-ports 15001');
    await mesh.kubectl('delete', 'pod', '-n', 'inside', 'vandal', '--now');
  });

  it('the CNI agent is down: a new labelled pod does not start unmeshed, and starts once it is back', async () => {
    const selector = (value: object | null): string =>
      JSON.stringify({ spec: { template: { spec: { nodeSelector: value } } } });
    const patch = (body: string): Promise<string> =>
      mesh.kubectl('patch', 'daemonset', 'istio-cni-node', '-n', SYSTEM, '--type=merge', '-p', body);
    await patch(selector({ 'kubernetes.io/os': 'linux', nowhere: 'true' }));
    await eventually(30_000, async () =>
      expect(await mesh.pods(SYSTEM, 'k8s-app=istio-cni-node')).toEqual([]),
    );
    await newPod('late');
    await eventually(30_000, async () => {
      const events = await mesh.kubectl('get', 'events', '-n', 'inside', '-o', 'wide');
      expect(events).toMatch(/FailedCreatePodSandBox.*WEFT1701/);
    });
    const [late] = await mesh.pods('inside').then((all) => all.filter((p) => p.metadata.name === 'late'));
    expect(late?.status.phase).toBe('Pending');
    await everyoneReachable(5_000);
    await patch(selector({ nowhere: null } as object));
    await mesh.rollout(SYSTEM, 'daemonset/istio-cni-node');
    await eventually(45_000, async () => {
      const found = (await mesh.pods('inside')).find((p) => p.metadata.name === 'late');
      expect(found?.status.phase).toBe('Running');
      expect(found?.metadata.annotations?.['ambient.istio.io/redirection']).toBe('enabled');
    });
    await mesh.kubectl('delete', 'pod', '-n', 'inside', 'late', '--now');
  });

  it('ztunnel is killed: connections through it end, and its pods recover within seconds', async () => {
    const open = new OpenConnection(mesh, pod('client'), pod('server-2').ip);
    await open.untilTicking();
    await killContainer(inspector, (await ztunnel('node-1')).metadata.name);
    await open.closed;
    await everyoneReachable(10_000);
    await eventually(10_000, async () => expect(isReady(await ztunnel('node-1'))).toBe(true));
  });

  it('the control plane is gone: traffic goes on, a new ztunnel waits and says why, and all recovers', async () => {
    const elsewhere = new Traffic(mesh, pod('server-2'), `http://${pod('server-2').ip}:8080/`);
    const traffic = new Traffic(mesh, pod('client'), `http://${pod('server-2').ip}:8080/`);
    await mesh.kubectl('scale', '-n', SYSTEM, 'deployment/istiod', '--replicas=0');
    await eventually(30_000, async () => expect(await mesh.pods(SYSTEM, 'app=istiod')).toEqual([]));
    expect((await traffic.stop()).bad).toEqual([]);
    await killContainer(inspector, (await ztunnel('node-1')).metadata.name);
    // The kubelet waits before it starts again what died twice.
    await eventually(30_000, async () => {
      const { metadata } = await ztunnel('node-1');
      const log = await mesh.kubectl('logs', '-n', SYSTEM, metadata.name);
      expect(log).toMatch(/still waiting for the control plane.*WEFT1342/);
      const readiness = `fetch('http://127.0.0.1:15021/healthz/ready').then(async (r) => console.log(r.status, await r.text()))`;
      expect(await mesh.exec(SYSTEM, metadata.name, process.execPath, '-e', readiness)).toMatch(
        /^5\d\d .*state manager/,
      );
      expect(isReady(await ztunnel('node-1'))).toBe(false);
    });
    expect((await elsewhere.stop()).bad).toEqual([]);
    await mesh.kubectl('scale', '-n', SYSTEM, 'deployment/istiod', '--replicas=1');
    await everyoneReachable(30_000);
    await eventually(10_000, async () => expect(isReady(await ztunnel('node-1'))).toBe(true));
  });

  it('a node loses power: its labelled pods come back in the mesh', async () => {
    const containerOf = (all: readonly PodView[]): string | undefined =>
      all.find((p) => p.metadata.name === 'server-1')?.status.containerStatuses?.[0]?.containerID;
    const before = await mesh.pods('inside');
    rebootNode(mesh, 'node-1');
    await eventually(60_000, async () => {
      const after = await mesh.pods('inside');
      if (containerOf(after) === containerOf(before)) throw new Error('server-1 has not been restarted');
      pods = await deployed(mesh, 'inside', workloads);
      await reachable('server-2');
      await reachable('server-1', pod('server-2'));
      const table = await mesh.weft('zc', 'workload', '--workload-namespace', 'inside', '--node', 'node-2');
      expect(table.match(/HBONE/g)).toHaveLength(3);
    });
    // Its agent and ztunnel, back as well, take a moment longer to be ready.
    await eventually(30_000, async () =>
      expect(await mesh.weft('check')).toMatch(/3 of 3 labelled pods are in the mesh/),
    );
  });
});
