import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { FakeKubelet } from './testing/fake-kubelet.ts';
import { namespaceObject, TestServer } from './testing/test-server.ts';

/** The real clients against the server in this process: what they accept is the specification. */

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let kubelet: FakeKubelet;
let cluster: TestServer;
let clients: { kubectl: string; helm: string };
let environment: NodeJS.ProcessEnv;

function start(program: 'kubectl' | 'helm', args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(clients[program], args, { env: environment, cwd: cluster.directory });
}

async function run(program: 'kubectl' | 'helm', args: readonly string[], stdin = ''): Promise<Finished> {
  const child = start(program, args);
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin);
  const [code] = (await once(child, 'close')) as [number]; // the event's signature
  return { code, ...output };
}

async function kubectl(line: string, stdin = ''): Promise<string> {
  const { code, stdout, stderr } = await run('kubectl', line.split(' '), stdin);
  if (code !== 0) throw new Error(`kubectl ${line}: ${stderr}`);
  return stdout.trim();
}

async function failing(line: string, stdin = ''): Promise<string> {
  const { code, stderr } = await run('kubectl', line.split(' '), stdin);
  expect(code).not.toBe(0);
  return stderr.trim();
}

beforeAll(async () => {
  const script = new URL('../../../../scripts/kubectl-helm.mjs', import.meta.url).href;
  const { ensureKubernetesClients } = (await import(script)) as {
    ensureKubernetesClients: () => Promise<typeof clients>;
  }; // a script without types
  clients = await ensureKubernetesClients();
  kubelet = await FakeKubelet.start('secret');
  cluster = await TestServer.start({
    kubelet: { token: 'secret', endpoint: () => ({ host: '127.0.0.1', port: kubelet.port }) },
  });
  environment = {
    PATH: process.env['PATH'],
    HOME: cluster.directory,
    KUBECONFIG: await cluster.kubeconfig(),
  };
  for (const name of ['default', 'kube-system'])
    await cluster.ok('POST', '/api/v1/namespaces', { body: namespaceObject(name) });
  await cluster.ok('POST', '/api/v1/namespaces/default/serviceaccounts', {
    body: { metadata: { name: 'default' } },
  });
  await writeFile(join(cluster.directory, 'crd.json'), JSON.stringify(widgetDefinition));
});
afterAll(async () => {
  await cluster.stop();
  await kubelet.stop();
});

const deployment = (replicas: number) =>
  JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', labels: { app: 'web' } },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'c', image: 'localhost/host', ports: [{ containerPort: 80 }] }] },
      },
    },
  });

describe('kubectl', () => {
  it('finds versions and resources', async () => {
    expect(await kubectl('version')).toContain('Server Version: v1.35');
    expect(await kubectl('api-resources')).toMatch(/^deployments\s+deploy\s+apps\/v1\s+true\s+Deployment$/m);
  });

  it('creates with protobuf bodies, gets in every form, labels and deletes', async () => {
    expect(await kubectl('create configmap cm --from-literal=a=b')).toBe('configmap/cm created');
    expect(await kubectl('get cm cm -o jsonpath={.data.a}')).toBe('b');
    expect(await kubectl('get cm')).toMatch(/^NAME\s+DATA\s+AGE\ncm\s+1\s+\d+s$/);
    expect(await kubectl('get cm -o wide --show-labels')).toContain('LABELS');
    expect(await kubectl('get cm -o name')).toBe('configmap/cm');
    expect(await kubectl('label cm cm x=y')).toBe('configmap/cm labeled');
    expect(await kubectl('get cm -A -l x=y --sort-by=.metadata.name')).toContain('cm');
    expect(await kubectl('annotate cm cm note=1')).toBe('configmap/cm annotated');
    expect(await kubectl('delete cm cm')).toContain('configmap "cm" deleted');
    expect(await failing('get cm cm')).toBe('Error from server (NotFound): configmaps "cm" not found');
  });

  it('applies on the client side, diffs and does nothing the second time', async () => {
    expect(await kubectl('apply -f -', deployment(1))).toBe('deployment.apps/web created');
    expect(await kubectl('apply -f -', deployment(1))).toBe('deployment.apps/web unchanged');
    expect((await run('kubectl', ['diff', '-f', '-'], deployment(2))).stdout).toContain('+  replicas: 2');
    expect(await kubectl('apply -f -', deployment(2))).toBe('deployment.apps/web configured');
    expect(await kubectl('get deploy web -o jsonpath={.spec.replicas}')).toBe('2');
  });

  it('applies lists, as another cluster prints them, and checks their items', async () => {
    const item = (name: string, extra: object): object => ({
      ...{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' } },
      ...extra,
    });
    const list = (extra: object): string =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'List',
        items: [item('listed-1', {}), item('listed-2', extra)],
      });
    expect(await kubectl('apply -f -', list({ data: { a: 'b' } }))).toBe(
      'configmap/listed-1 created\nconfigmap/listed-2 created',
    );
    expect(await failing('apply -f -', list({ wrong: 1 }))).toContain('unknown field "wrong"');
    await kubectl('delete configmap listed-1 listed-2');
  });

  it('applies on the server side and shows conflicts', async () => {
    expect(await kubectl('apply --server-side -f -', deployment(2))).toBe(
      'deployment.apps/web serverside-applied',
    );
    const conflict = await failing('apply --server-side --field-manager=other -f -', deployment(5));
    expect(conflict).toContain('conflict with "kubectl"');
    expect(conflict).toContain('.spec.replicas');
    expect(
      await kubectl('apply --server-side --field-manager=other --force-conflicts -f -', deployment(5)),
    ).toContain('serverside-applied');
    expect(await kubectl('get deploy web -o jsonpath={.spec.replicas}')).toBe('5');
  });

  it.each([
    ['strategic', '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i1"}]}}}}'],
    ['merge', '{"spec":{"replicas":7}}'],
    ['json', '[{"op":"replace","path":"/spec/replicas","value":8}]'],
  ])('patches with a %s patch', async (type, patch) => {
    expect(await kubectl(`patch deploy web --type=${type} -p ${patch}`)).toBe('deployment.apps/web patched');
  });

  it('scales, sets images, and waits for a rollout that a controller reports', async () => {
    expect(await kubectl('scale deploy/web --replicas=1 --current-replicas=8')).toBe(
      'deployment.apps/web scaled',
    );
    expect(await kubectl('set image deploy/web c=i2')).toBe('deployment.apps/web image updated');
    expect(await kubectl('rollout restart deploy/web')).toBe('deployment.apps/web restarted');
    const waiting = run('kubectl', ['rollout', 'status', 'deploy/web', '--timeout=20s']);
    const condition = run('kubectl', ['wait', '--for=condition=Available', 'deploy/web', '--timeout=20s']);
    const generation = Number(await kubectl('get deploy web -o jsonpath={.metadata.generation}'));
    const status = {
      observedGeneration: generation,
      replicas: 1,
      updatedReplicas: 1,
      readyReplicas: 1,
      availableReplicas: 1,
      conditions: [{ type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable', message: '' }],
    };
    await cluster.ok('PATCH', '/apis/apps/v1/namespaces/default/deployments/web/status', {
      contentType: 'application/merge-patch+json',
      body: { status },
    });
    expect((await waiting).stdout).toContain('successfully rolled out');
    expect((await condition).stdout).toContain('condition met');
    expect(await kubectl('get deploy web')).toMatch(
      /^NAME\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+AGE\nweb\s+1\/1\s+1\s+1/,
    );
  });

  it('watches as a table until the object goes', async () => {
    await kubectl('create configmap seen');
    const watching = start('kubectl', ['get', 'cm', 'seen', '-w', '--output-watch-events']);
    let output = '';
    watching.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    while (!output.includes('ADDED')) await once(watching.stdout, 'data');
    await kubectl('delete cm seen');
    while (!output.includes('DELETED')) await once(watching.stdout, 'data');
    watching.kill();
    await once(watching, 'close');
    expect(output).toMatch(/EVENT\s+NAME\s+DATA\s+AGE/);
  });

  it('asks who it is and what it may do, also as somebody else', async () => {
    expect(await kubectl('auth whoami -o jsonpath={.status.userInfo.username}')).toBe('admin');
    expect(await kubectl('auth can-i create pods')).toBe('yes');
    await kubectl('create sa bob');
    await kubectl(
      'create clusterrole basic-user --verb=create --resource=selfsubjectaccessreviews,selfsubjectrulesreviews',
    );
    await kubectl(
      'create clusterrolebinding basic-user --clusterrole=basic-user --group=system:authenticated',
    );
    await kubectl('create role reader --verb=get,list --resource=configmaps');
    await kubectl('create rolebinding bob --role=reader --serviceaccount=default:bob');
    const bob = '--as=system:serviceaccount:default:bob';
    expect(await kubectl(`auth can-i list configmaps ${bob}`)).toBe('yes');
    expect((await run('kubectl', ['auth', 'can-i', 'delete', 'configmaps', bob])).stdout.trim()).toBe('no');
    expect(await failing(`get secrets ${bob}`)).toBe(
      'Error from server (Forbidden): secrets is forbidden: User "system:serviceaccount:default:bob" cannot list resource "secrets" in API group "" in the namespace "default"',
    );
    expect(await kubectl(`auth can-i --list ${bob}`)).toContain('configmaps');
  });

  it('creates tokens that the server accepts until the account is gone', async () => {
    const token = await kubectl('create token bob --duration=1h');
    const path = '/api/v1/namespaces/default/configmaps';
    expect((await cluster.call('GET', path, { token })).status).toBe(200);
    const review = await cluster.ok('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
      body: { spec: { token } },
    });
    expect(review['status']).toMatchObject({
      authenticated: true,
      user: { username: 'system:serviceaccount:default:bob' },
    });
    await kubectl('delete sa bob');
    expect((await cluster.call('GET', path, { token })).status).toBe(401);
  });

  it('serves custom resources at once, with columns, defaults, validation and explain', async () => {
    expect(await kubectl('create -f crd.json')).toContain(
      'customresourcedefinition.apiextensions.k8s.io/widgets.example.com created',
    );
    await kubectl('wait --for=condition=Established crd/widgets.example.com --timeout=10s');
    const widget = (spec: object) =>
      JSON.stringify({ apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'w' }, spec });
    expect(await failing('apply -f -', widget({ size: 0 }))).toContain(
      'spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1',
    );
    expect(await failing('apply -f -', widget({ size: 1, nonsense: 1 }))).toContain(
      'unknown field "spec.nonsense"',
    );
    expect(await kubectl('apply -f -', widget({ size: 3 }))).toBe('widget.example.com/w created');
    expect(await kubectl('get wd')).toMatch(/^NAME\s+SIZE\nw\s+3$/);
    expect(await kubectl('get widget w -o jsonpath={.spec.color}')).toBe('red');
    expect(await kubectl('explain widget.spec.size')).toContain('How big.');
  });

  it('reads logs', async () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'i' }] },
    };
    await kubectl('create -f -', JSON.stringify(pod));
    expect(await kubectl('logs p --tail=5')).toBe('line 1\nline 2');
    expect(kubelet.requests.at(-1)).toContain('/containerLogs/default/p/c?');
    expect(await failing('logs p -c none')).toContain('container none is not valid for pod p');
  });

  it.each([
    ['WebSocket', 'true'],
    ['SPDY', 'false'],
  ])('runs commands over %s: output, stdin, exit code', async (_name, webSockets) => {
    environment = { ...environment, KUBECTL_REMOTE_COMMAND_WEBSOCKETS: webSockets };
    const echo = await run('kubectl', ['exec', 'p', '--', 'echo', 'hello', 'there']);
    expect(echo).toEqual({ code: 0, stdout: 'hello there\n', stderr: 'to stderr\n' });
    const big = 'x'.repeat(3_000_000);
    const cat = await run('kubectl', ['exec', '-i', 'p', '--', 'cat'], big);
    expect(cat.stdout.length).toBe(big.length);
    expect((await run('kubectl', ['exec', 'p', '--', 'exit', '3'])).code).toBe(3);
  });

  it.each([
    ['WebSocket', 'true'],
    ['SPDY', 'false'],
  ])('forwards ports over %s', async (_name, webSockets) => {
    environment = { ...environment, KUBECTL_PORT_FORWARD_WEBSOCKETS: webSockets };
    await cluster.ok('PATCH', '/api/v1/namespaces/default/pods/p/status', {
      contentType: 'application/merge-patch+json',
      body: { status: { phase: 'Running' } },
    });
    const forwarding = start('kubectl', ['port-forward', 'p', ':8080']);
    const [banner] = (await once(forwarding.stdout, 'data')) as [Buffer]; // the event's signature
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(banner.toString())?.[1]);
    const answers = await Promise.all(['one', 'two', 'three'].map((word) => roundTrip(port, word)));
    expect(answers).toEqual(['ONE', 'TWO', 'THREE']);
    forwarding.kill();
    await once(forwarding, 'close');
  });
});

describe('helm', () => {
  it('installs a chart with CRDs and hooks, upgrades, rolls back, lists and uninstalls', async () => {
    await writeChart(join(cluster.directory, 'chart'));
    const helm = async (line: string) => {
      const { code, stdout, stderr } = await run('helm', line.split(' '));
      if (code !== 0) throw new Error(`helm ${line}: ${stderr}`);
      return stdout;
    };
    expect(await helm('install small ./chart -n apps --create-namespace --wait')).toContain(
      'STATUS: deployed',
    );
    expect(await kubectl('get gears -n apps -o jsonpath={.items[0].spec.teeth}')).toBe('12');
    await helm('upgrade small ./chart -n apps --set message=second --wait');
    expect(await kubectl('get cm small -n apps -o jsonpath={.data.message}')).toBe('second');
    await helm('rollback small 1 -n apps --wait');
    expect(await kubectl('get cm small -n apps -o jsonpath={.data.message}')).toBe('first');
    expect(await helm('list -n apps')).toMatch(/small\s+apps\s+3/);
    expect(await helm('history small -n apps')).toContain('Rollback to 1');
    await helm('uninstall small -n apps --wait');
    expect(await kubectl('get cm,gears -n apps -o name')).toBe('configmap/hook');
  });
});

function roundTrip(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.once('data', (data) => {
      resolve(data.toString());
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

const widgetDefinition = customResource('widgets', 'Widget', ['wd'], {
  size: { type: 'integer', minimum: 1, description: 'How big.' },
  color: { type: 'string', default: 'red' },
});

function customResource(plural: string, kind: string, shortNames: string[], properties: object) {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.example.com` },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural, kind, shortNames },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          additionalPrinterColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }],
          schema: {
            openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties } } },
          },
        },
      ],
    },
  };
}

async function writeChart(directory: string): Promise<void> {
  await mkdir(join(directory, 'templates'), { recursive: true });
  await mkdir(join(directory, 'crds'));
  await writeFile(join(directory, 'Chart.yaml'), 'apiVersion: v2\nname: small\nversion: 0.1.0\n');
  await writeFile(join(directory, 'values.yaml'), 'message: first\n');
  const crd = customResource('gears', 'Gear', [], { teeth: { type: 'integer' } });
  await writeFile(join(directory, 'crds', 'gears.yaml'), JSON.stringify(crd));
  await writeFile(
    join(directory, 'templates', 'all.yaml'),
    `apiVersion: v1
kind: ConfigMap
metadata: { name: small }
data: { message: {{ .Values.message }} }
---
apiVersion: example.com/v1
kind: Gear
metadata: { name: gear }
spec: { teeth: 12 }
---
apiVersion: v1
kind: Service
metadata: { name: small }
spec: { selector: { app: small }, ports: [{ port: 80 }] }
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: hook
  annotations: { helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation }
data: {}
`,
  );
}
