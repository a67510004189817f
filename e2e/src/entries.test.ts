import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { eventually } from './kit/eventually.ts';
import { type HttpAnswer, ask } from './kit/http.ts';
import { LocalMesh } from './kit/local-mesh.ts';
import { type Deployed, deploy, request } from './kit/workloads.ts';

jest.setTimeout(90_000);

/** Services and machines that users write down, with what a cluster gives them: addresses, names, statuses. */
describe('a mesh with entries', () => {
  let mesh: LocalMesh;
  let client: Deployed;
  let machine: Deployed;

  interface Entry {
    readonly status?: {
      readonly addresses?: readonly { readonly host: string; readonly value: string }[];
      readonly conditions?: readonly {
        readonly type: string;
        readonly status: string;
        readonly reason: string;
      }[];
    };
  }
  const entry = (name: string): Promise<Entry> => mesh.json('get', 'serviceentry', name, '-n', 'inside');
  const serviceEntry = (name: string, host: string, spec: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}, namespace: inside }
spec: { hosts: [${host}], ports: [{ name: http, number: 80, protocol: HTTP, targetPort: 8080 }], ${spec} }
`;
  const answers = (host: string, path = '/') =>
    eventually(20_000, async () => {
      expect(await request(mesh, client, `http://${host}${path}`)).toMatchObject({ pod: 'server-1' });
    });

  beforeAll(async () => {
    mesh = await LocalMesh.start({ name: 'entries' });
    await mesh.install();
    const inside = await deploy(mesh, 'inside', { 'istio.io/dataplane-mode': 'ambient' }, [
      { namespace: 'inside', name: 'client', node: 'node-1' },
    ]);
    // Stands for a machine that Kubernetes knows nothing of: not captured, and in no Service that is used here.
    const outside = await deploy(mesh, 'outside', {}, [
      { namespace: 'outside', name: 'server-1', node: 'node-2' },
    ]);
    await mesh.untilRedirected('inside', true);
    const [found, server] = [inside.get('client'), outside.get('server-1')];
    if (found === undefined || server === undefined) throw new Error('no pods');
    client = found;
    machine = server;
  }, 240_000);
  afterAll(() => mesh?.stop(), 60_000);

  it('gives a host without address one, by which clients reach its endpoints', async () => {
    await mesh.apply(
      serviceEntry(
        'inline',
        'inline.example.org',
        `resolution: STATIC, endpoints: [{ address: ${machine.ip} }]`,
      ),
    );
    await answers('inline.example.org');
    const { status } = await entry('inline');
    expect(status?.addresses).toEqual([
      { host: 'inline.example.org', value: expect.stringMatching(/^240\.240\./) },
      { host: 'inline.example.org', value: expect.stringMatching(/^2001:2::/) },
    ]);
    expect(status?.conditions?.map(({ type, reason }) => [type, reason])).toEqual([
      ['istio.io/VisibilityApplied', 'Public'],
    ]);
  });

  it('looks up the endpoints of a host that is left to DNS', async () => {
    await mesh.apply(
      serviceEntry(
        'named',
        'named.example.org',
        'resolution: DNS, endpoints: [{ address: server.outside.svc.cluster.local, ports: { http: 80 } }]',
      ),
    );
    await answers('named.example.org');
  });

  it('reaches machines that a ServiceEntry selects', async () => {
    await mesh.apply(
      serviceEntry(
        'machines',
        'machines.example.org',
        'resolution: STATIC, workloadSelector: { labels: { app: machine } }',
      ),
    );
    await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: vm, namespace: inside }
spec: { address: ${machine.ip}, labels: { app: machine } }
`);
    await answers('machines.example.org');
    expect(await mesh.weft('zc', 'workload', '--workload-namespace', 'inside', '--node', 'node-1')).toContain(
      'vm',
    );
  });

  it('refuses an entry that nobody could follow, with the path of what is wrong', async () => {
    await expect(
      mesh.apply(serviceEntry('bad', 'bad.example.org', 'resolution: DNS, addresses: [10.0.0.0/8]')),
    ).rejects.toThrow(/ranges of addresses need resolution NONE or STATIC/);
    await expect(
      mesh.apply(
        serviceEntry(
          'bad',
          'bad.example.org',
          'resolution: STATIC, endpoints: [{ address: 192.0.2.1, ports: { htp: 1 } }]',
        ),
      ),
    ).rejects.toThrow(/spec\.endpoints\[0\]\.ports\.htp.*did you mean http\?/);
  });

  it('has waypoints enforce policies on entries, by address and by name', async () => {
    await mesh.weft('waypoint', 'apply', '-n', 'inside', '--wait');
    const names = ['inline', 'named'];
    for (const name of names) {
      await mesh.kubectl('label', 'serviceentry', name, '-n', 'inside', 'istio.io/use-waypoint=waypoint');
    }
    await mesh.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: entries, namespace: inside }
spec:
  targetRefs: ${JSON.stringify(names.map((name) => ({ group: 'networking.istio.io', kind: 'ServiceEntry', name })))}
  action: DENY
  rules: [{ to: [{ operation: { paths: [/blocked] } }] }]
`);
    for (const name of names) {
      await eventually(30_000, async () => {
        const [answer] = await ask(mesh, client, { url: `http://${name}.example.org/blocked` });
        expect(answer?.status).toBe(403);
      });
      await answers(`${name}.example.org`);
      const { status } = await entry(name);
      expect(status?.conditions?.find(({ type }) => type === 'istio.io/WaypointBound')).toMatchObject({
        status: 'True',
        reason: 'WaypointAccepted',
      });
    }
  });

  it('forwards to hosts of a wildcard that clients name, and to no others', async () => {
    await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: wild, namespace: inside, labels: { istio.io/use-waypoint: waypoint } }
spec:
  hosts: ["*.outside.svc.cluster.local"]
  location: MESH_EXTERNAL
  resolution: DYNAMIC_DNS
  ports: [{ name: http, number: 80, protocol: HTTP }]
`);
    const address = await eventually(20_000, async () => {
      const { addresses = [] } = (await entry('wild')).status ?? {};
      const found = addresses.find(({ value }) => value.startsWith('240.240.'));
      if (found === undefined) throw new Error('no address yet');
      return found.value;
    });
    const named = async (host: string): Promise<HttpAnswer | undefined> =>
      (await ask(mesh, client, { url: `http://${address}/`, headers: { host } }))[0];
    await eventually(30_000, async () => {
      expect(await named('server.outside.svc.cluster.local')).toMatchObject({ status: 200 });
    });
    expect(await named('server.inside.svc.cluster.local')).toMatchObject({ status: 404 });
    expect(await named('nobody.outside.svc.cluster.local')).toMatchObject({ status: 503 });
  });

  it('has waypoints follow routes of entries, to hosts of entries', async () => {
    await mesh.apply(`
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: entries, namespace: inside }
spec:
  parentRefs: [{ group: networking.istio.io, kind: ServiceEntry, name: inline, port: 80 }]
  rules:
    - matches: [{ path: { value: /moved } }]
      filters: [{ type: RequestRedirect, requestRedirect: { hostname: elsewhere.example.org } }]
    - backendRefs: [{ group: networking.istio.io, kind: Hostname, name: machines.example.org, port: 80 }]
`);
    await eventually(30_000, async () => {
      const [answer] = await ask(mesh, client, { url: 'http://inline.example.org/moved' });
      expect(answer).toMatchObject({ status: 302 });
    });
    await answers('inline.example.org');
    const route = await mesh.json<{
      readonly status?: { readonly parents?: readonly { readonly conditions: readonly object[] }[] };
    }>('get', 'httproute', 'entries', '-n', 'inside');
    expect(route.status?.parents?.[0]?.conditions).toMatchObject([
      { type: 'Accepted', status: 'True' },
      { type: 'ResolvedRefs', status: 'True' },
      { type: 'ResolvedWaypoints', message: 'All waypoints resolved' },
    ]);
  });

  it('refuses what a policy was to meet once its waypoint has gone', async () => {
    await mesh.weft('waypoint', 'delete', 'waypoint', '-n', 'inside');
    await eventually(30_000, async () => {
      const { status } = await entry('inline');
      expect(status?.conditions?.find(({ type }) => type === 'istio.io/WaypointBound')).toMatchObject({
        status: 'False',
        reason: 'WaypointIsNotReady',
      });
      expect(await request(mesh, client, 'http://inline.example.org/')).toBe('refused');
    });
    await answers('machines.example.org');
  });
});
