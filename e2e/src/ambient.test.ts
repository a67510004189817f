import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { captureOnNode } from './kit/capture.ts';
import { eventually } from './kit/eventually.ts';
import { LocalMesh } from './kit/local-mesh.ts';
import { NodeInspector } from './kit/node-inspector.ts';
import { OpenConnection, Traffic, deploy, request, requests, type Deployed } from './kit/workloads.ts';

const ambient = { 'istio.io/dataplane-mode': 'ambient' };
const HEADER = 'HTTP/1.1';
/** A step of a user's day; each has its own, shorter deadlines inside. */
const SCENARIO_MS = 90_000;

/** One cluster, one installation; the scenarios follow each other as a user's day would. */
jest.setTimeout(SCENARIO_MS);

describe('ambient mesh', () => {
  let mesh: LocalMesh;
  let inside: ReadonlyMap<string, Deployed>;
  let outside: ReadonlyMap<string, Deployed>;
  const pod = (where: 'inside' | 'outside', name: string): Deployed => {
    const found = (where === 'inside' ? inside : outside).get(name);
    if (found === undefined) throw new Error(`no pod ${name}`);
    return found;
  };
  const workloads = (namespace: string) =>
    [
      ['client', 'node-1'],
      ['server-1', 'node-1'],
      ['server-2', 'node-2'],
    ].map(([name = '', node = '']) => ({ namespace, name, node }));

  beforeAll(async () => {
    mesh = await LocalMesh.start({ name: 'ambient' });
    await mesh.install();
    inside = await deploy(mesh, 'inside', ambient, workloads('inside'));
    outside = await deploy(mesh, 'outside', {}, workloads('outside'));
    await mesh.untilRedirected('inside', true);
    await eventually(20_000, async () => {
      const table = await mesh.weft('zc', 'workload', '--workload-namespace', 'inside', '--node', 'node-1');
      expect(table.match(/HBONE/g)).toHaveLength(3);
    });
  }, 240_000);
  afterAll(() => mesh?.stop(), 60_000);

  describe('connections', () => {
    it.each([
      ['inside', 'inside', 'server-1'],
      ['inside', 'inside', 'server-2'],
      ['inside', 'outside', 'server-1'],
      ['inside', 'outside', 'server-2'],
      ['outside', 'inside', 'server-1'],
      ['outside', 'inside', 'server-2'],
      ['outside', 'outside', 'server-1'],
      ['outside', 'outside', 'server-2'],
    ] as const)(
      'from %s reach %s/%s by its address, and the server sees the client’s own',
      async (from, to, name) => {
        const client = pod(from, 'client');
        expect(await request(mesh, client, `http://${pod(to, name).ip}:8080/`)).toMatchObject({
          pod: name,
          client: client.ip,
        });
      },
    );

    it.each(['inside', 'outside'] as const)(
      'from inside to the service of %s are spread over its pods',
      async (to) => {
        const answers = await requests(mesh, pod('inside', 'client'), `http://server.${to}/`, 24);
        const pods = new Set(answers.map((answer) => (answer === 'refused' ? answer : answer.pod)));
        expect([...pods].sort()).toEqual(['server-1', 'server-2']);
      },
    );

    it('of a pod to its own service work', async () => {
      expect(await requests(mesh, pod('inside', 'server-1'), 'http://server.inside/', 6)).not.toContain(
        'refused',
      );
    });
  });

  describe('on the wire', () => {
    const ask = (to: string) => async (): Promise<void> => {
      expect(
        await request(mesh, pod('inside', 'client'), `http://${pod('inside', to).ip}:8080/secret`),
      ).not.toBe('refused');
    };

    it('between nodes there is only TLS on port 15008', async () => {
      const pair = [pod('inside', 'client').ip, pod('inside', 'server-2').ip] as const;
      const { segments, text } = await captureOnNode(mesh, 'node-2', pair, ask('server-2'));
      expect(segments.length).toBeGreaterThan(0);
      expect(segments.filter((s) => s.sourcePort !== 15008 && s.destinationPort !== 15008)).toEqual([]);
      expect(text).not.toContain(HEADER);
    });

    it('on one node nothing can be read', async () => {
      const pair = [pod('inside', 'client').ip, pod('inside', 'server-1').ip] as const;
      const inspector = await NodeInspector.on(mesh, 'node-1');
      const card = await inspector.interfaceOf(pair[1]);
      const { text } = await captureOnNode(mesh, 'node-1', pair, ask('server-1'), card);
      expect(text).not.toContain(HEADER);
    });

    it('a pod outside is answered in plaintext, which shows that the capture can read', async () => {
      const pair = [pod('outside', 'client').ip, pod('outside', 'server-2').ip] as const;
      const { text } = await captureOnNode(mesh, 'node-2', pair, async () => {
        await request(mesh, pod('outside', 'client'), `http://${pair[1]}:8080/secret`);
      });
      expect(text).toContain('GET /secret HTTP/1.1');
    });
  });

  it('the server’s side knows the client by its certificate', async () => {
    await request(mesh, pod('inside', 'client'), `http://${pod('inside', 'server-2').ip}:8080/`);
    const ztunnels = await mesh.pods('istio-system', 'app=ztunnel');
    const name = ztunnels.find((p) => p.spec.nodeName === 'node-2')?.metadata.name ?? '';
    await eventually(10_000, async () => {
      const lines = (await mesh.kubectl('logs', '-n', 'istio-system', name)).split('\n');
      const inbound = lines.filter(
        (l) =>
          l.includes('direction="inbound"') &&
          l.includes('dst.workload="server-2"') &&
          l.includes('src.workload="client"') &&
          l.includes('src.namespace="inside"'),
      );
      expect(inbound.at(-1)).toContain('src.identity="spiffe://cluster.local/ns/inside/sa/client"');
      expect(inbound.at(-1)).toContain('dst.identity="spiffe://cluster.local/ns/inside/sa/server-2"');
    });
  });

  describe('policies', () => {
    const apply = (kind: string, spec: object): Promise<string> =>
      mesh.apply(
        JSON.stringify({
          apiVersion: 'security.istio.io/v1',
          kind,
          metadata: { name: 'scenario', namespace: 'inside' },
          spec,
        }),
      );
    const removed = (kind: string): Promise<string> =>
      mesh.kubectl('delete', kind, '-n', 'inside', 'scenario', '--ignore-not-found');
    const reaches = async (from: 'inside' | 'outside', expected: boolean): Promise<void> => {
      await eventually(15_000, async () => {
        const url = `http://${pod('inside', 'server-2').ip}:8080/`;
        expect((await request(mesh, pod(from, 'client'), url)) !== 'refused').toBe(expected);
      });
    };
    const inOrder = async (): Promise<void> => {
      await reaches('inside', true);
      await reaches('outside', true);
    };

    it.each([
      [
        'DENY by principal',
        {
          action: 'DENY',
          rules: [{ from: [{ source: { principals: ['cluster.local/ns/inside/sa/client'] } }] }],
        },
        false,
        true,
      ],
      [
        'DENY by namespace',
        { action: 'DENY', rules: [{ from: [{ source: { namespaces: ['inside'] } }] }] },
        false,
        true,
      ],
      [
        'DENY by port',
        { action: 'DENY', rules: [{ to: [{ operation: { ports: ['8080'] } }] }] },
        false,
        false,
      ],
      [
        'DENY of another port',
        { action: 'DENY', rules: [{ to: [{ operation: { ports: ['9000'] } }] }] },
        true,
        true,
      ],
      [
        'ALLOW by principal',
        {
          action: 'ALLOW',
          rules: [{ from: [{ source: { principals: ['cluster.local/ns/inside/sa/client'] } }] }],
        },
        true,
        false,
      ],
      [
        'ALLOW by namespace',
        { action: 'ALLOW', rules: [{ from: [{ source: { namespaces: ['elsewhere'] } }] }] },
        false,
        false,
      ],
      ['ALLOW of nothing', {}, false, false],
    ])('%s takes effect', async (_name, spec, insideReaches, outsideReaches) => {
      await apply('AuthorizationPolicy', spec);
      await reaches('inside', insideReaches);
      await reaches('outside', outsideReaches);
      await removed('authorizationpolicy');
      await inOrder();
    });

    it('DENY by address takes effect for that address only', async () => {
      await apply('AuthorizationPolicy', {
        action: 'DENY',
        rules: [{ from: [{ source: { ipBlocks: [`${pod('outside', 'client').ip}/32`] } }] }],
      });
      await reaches('outside', false);
      await reaches('inside', true);
      await removed('authorizationpolicy');
      await inOrder();
    });

    it('STRICT refuses plaintext and leaves the mesh alone', async () => {
      await apply('PeerAuthentication', { mtls: { mode: 'STRICT' } });
      await reaches('outside', false);
      await reaches('inside', true);
      await removed('peerauthentication');
      await inOrder();
    });

    it('cut a connection that is open, and say so in the policy’s status', async () => {
      const connection = new OpenConnection(mesh, pod('inside', 'client'), pod('inside', 'server-2').ip);
      await connection.untilTicking();
      await apply('AuthorizationPolicy', {
        action: 'DENY',
        rules: [{ from: [{ source: { namespaces: ['inside'] } }] }],
      });
      await connection.closed;
      await eventually(15_000, async () => {
        const { status } = await mesh.json<{ status?: { conditions?: { type: string; status: string }[] } }>(
          'get',
          'authorizationpolicy',
          '-n',
          'inside',
          'scenario',
        );
        expect(status?.conditions).toEqual([
          expect.objectContaining({ type: 'ZtunnelAccepted', status: 'True' }),
        ]);
      });
      await removed('authorizationpolicy');
      await inOrder();
    });

    it('that make no sense are refused with the field’s path', async () => {
      await eventually(30_000, async () => {
        const { webhooks } = await mesh.json<{ webhooks: { failurePolicy: string }[] }>(
          'get',
          'validatingwebhookconfiguration',
          'istio-validator-istio-system',
        );
        expect(webhooks[0]?.failurePolicy).toBe('Fail');
      });
      await expect(
        apply('AuthorizationPolicy', { rules: [{ from: [{ source: { ipBlocks: ['10.0.0.0/99'] } }] }] }),
      ).rejects.toThrow(/spec\.rules\[0\]\.from\[0\]\.source\.ipBlocks\[0\]/);
      await expect(apply('AuthorizationPolicy', { action: 'MAYBE' })).rejects.toThrow(
        /spec\.action: Unsupported value: "MAYBE"/,
      );
    });
  });

  it('weft check finds everything in order', async () => {
    expect(await mesh.weft('check')).toMatch(/3 of 3 labelled pods are in the mesh/);
  });

  it('unlabelling returns to plaintext without a failing connection, and cuts those that went through the mesh', async () => {
    const client = pod('inside', 'client');
    const url = `http://${pod('inside', 'server-2').ip}:8080/`;
    const fromOutside = new Traffic(mesh, pod('outside', 'client'), url);
    const fromInside = new Traffic(mesh, client, url);
    const open = new OpenConnection(mesh, client, pod('inside', 'server-2').ip);
    await open.untilTicking();
    await mesh.kubectl('label', 'namespace', 'inside', 'istio.io/dataplane-mode-');
    await mesh.untilRedirected('inside', false);
    await open.closed;
    expect((await fromInside.stop()).bad).toEqual([]);
    expect((await fromOutside.stop()).bad).toEqual([]);
    const { text } = await captureOnNode(
      mesh,
      'node-2',
      [client.ip, pod('inside', 'server-2').ip],
      async () => {
        await request(mesh, client, `${url}secret`);
      },
    );
    expect(text).toContain('GET /secret HTTP/1.1');
  });

  it('labelling again enrols the running pods without a failing connection', async () => {
    const client = pod('inside', 'client');
    const traffic = new Traffic(mesh, client, `http://${pod('inside', 'server-2').ip}:8080/`);
    await mesh.kubectl('label', 'namespace', 'inside', 'istio.io/dataplane-mode=ambient');
    await mesh.untilRedirected('inside', true);
    expect((await traffic.stop()).bad).toEqual([]);
  });

  it('uninstalling leaves no rule, set, route, plugin or configuration, and the pods talk on', async () => {
    const inspectors = await Promise.all(['node-1', 'node-2'].map((node) => NodeInspector.on(mesh, node)));
    expect(await inspectors[0]?.residue()).not.toBe('');
    const inPod = (name: string): Promise<string> =>
      mesh.exec(
        'inside',
        name,
        'sh',
        '-c',
        'PATH=$PATH:/usr/sbin:/sbin; ip rule | grep 32764; ip route show table 100 2>/dev/null; ss -ltn 2>/dev/null | grep -E ":(15001|15006|15008) "; true',
      );
    expect(await inPod('server-2')).not.toBe('');
    await mesh.weft('uninstall', '--purge', '--timeout', '90s');
    for (const inspector of inspectors)
      await eventually(30_000, async () => expect(await inspector.residue()).toBe(''));
    await eventually(30_000, async () => expect((await inPod('server-2')).trim()).toBe(''));
    await eventually(30_000, async () =>
      expect((await mesh.kubectl('get', 'crd', '-o', 'name')).trim()).toBe(''),
    );
    await eventually(30_000, async () =>
      expect(await mesh.kubectl('get', 'namespaces', '-o', 'name')).not.toContain('istio-system'),
    );
    expect(await mesh.kubectl('get', 'configmap', '-A', '-o', 'name')).not.toContain('istio-ca-root-cert');
    expect(
      await request(mesh, pod('inside', 'client'), `http://${pod('inside', 'server-2').ip}:8080/`),
    ).toMatchObject({ pod: 'server-2' });
  });
});
