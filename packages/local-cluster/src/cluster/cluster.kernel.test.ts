import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { skipIf } from '@weft/linux/testing';
import {
  isNotFound,
  KubernetesClient,
  loadKubeConfig,
  resources,
  type ConfigMap,
  type KubernetesObject,
  type Pod,
  type PodController,
} from '@weft/kubernetes';
import { describeError } from '@weft/telemetry';
import { clusterStatus, startCluster, type RunningCluster } from './launcher.ts';
import { processesIn } from './namespaces.ts';
import { preflight } from './preflight.ts';
import { readJson, StateDirectory, type DaemonRecord } from './state-directory.ts';

const START_TIMEOUT_MS = 60_000;
const EVENTUALLY_MS = 20_000;

const obstacle = await preflight().then(
  () => undefined,
  (error: unknown) => describeError(error),
);
const describeWithNamespaces = skipIf(obstacle, describe);

const directory = join(tmpdir(), `weft-cluster-${process.pid}`);
const stateDir = join(directory, 'state');
/** Of an image of the table, in a folder below the machine's /tmp, which nodes and pods replace by their own. */
const program = join(directory, 'program', 'main.cjs');
let cluster: RunningCluster;
let client: KubernetesClient;
let daemon: DaemonRecord;

async function eventually<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  let last: unknown;
  for (const deadline = Date.now() + EVENTUALLY_MS; Date.now() < deadline; ) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not come about`, { cause: last });
}

/** A container that runs JavaScript with the machine's Node.js. */
function script(source: string) {
  return { name: 'main', image: 'localhost/host', command: [process.execPath, '-e', source] };
}

/** What a pod printed until it ended well. */
async function output(name: string, source: string): Promise<string> {
  const pod: Pod = {
    metadata: { name, namespace: 'default' },
    spec: { restartPolicy: 'Never', containers: [script(source)] },
  };
  await client.create(resources.pods, pod);
  await eventually(`the end of ${name}`, async () => {
    const { phase } = (await client.get(resources.pods, name, 'default')).status ?? {};
    return phase === 'Succeeded' || phase === 'Failed' ? phase : undefined;
  });
  return client.requestText(`/api/v1/namespaces/default/pods/${name}/log`);
}

/** The process of the cluster whose command line holds the text, as the machine numbers it. */
async function processWith(text: string): Promise<number> {
  const { pids } = await processesIn(daemon.pidNamespace);
  const found = pids.find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').includes(text),
  );
  if (found === undefined) throw new Error(`no process of the cluster has ${text} in its command line`);
  return found;
}

const server = `require('http').createServer((_, response) => response.end(require('os').hostname())).listen(8080)`;

function deployment(name: string, replicas: number): PodController {
  const labels = { app: name };
  const probe = { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 };
  return {
    metadata: { name, namespace: 'default' },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ ...script(server), readinessProbe: probe }] },
      },
    },
  };
}

async function availableReplicas(name: string): Promise<unknown> {
  return (await client.get(resources.deployments, name, 'default')).status?.['availableReplicas'];
}

describeWithNamespaces('a local cluster', () => {
  beforeAll(async () => {
    mkdirSync(join(directory, 'program'), { recursive: true });
    writeFileSync(program, "console.log('from the table')");
    const images = [
      { pattern: 'test/table:*', command: [process.execPath, program], binds: [join(directory, 'program')] },
    ];
    cluster = await startCluster({ name: 'kernel-test', stateDir, nodes: 2, images: { images } });
    client = new KubernetesClient(loadKubeConfig({ path: cluster.kubeconfigPath }));
    const record = await readJson<DaemonRecord>(new StateDirectory(stateDir).daemonFile);
    if (record === undefined) throw new Error('no daemon record');
    daemon = record;
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    client?.close();
    await cluster?.stop();
    rmSync(directory, { recursive: true, force: true });
  }, START_TIMEOUT_MS);

  it('says that it runs, and refuses to start twice', async () => {
    await expect(clusterStatus({ name: 'kernel-test', stateDir })).resolves.toMatchObject({
      state: 'running',
      nodes: [
        { name: 'node-1', ready: true },
        { name: 'node-2', ready: true },
      ],
    });
    await expect(startCluster({ name: 'kernel-test', stateDir })).rejects.toMatchObject({ code: 'WEFT2003' });
  });

  it('runs a program of the image table that lies in /tmp, and leaves the file as it was', async () => {
    const container = { name: 'main', image: 'test/table:1' };
    await client.create(resources.pods, {
      metadata: { name: 'table', namespace: 'default' },
      spec: { restartPolicy: 'Never', containers: [container] },
    });
    const said = await eventually('its output', async () => {
      const log = await client.requestText('/api/v1/namespaces/default/pods/table/log');
      return log === '' ? undefined : log;
    });
    expect(said).toContain('from the table');
    expect(readFileSync(program, 'utf8')).toBe("console.log('from the table')");
  });

  it('carries a Deployment on both nodes behind a Service name', async () => {
    await client.create(resources.deployments, deployment('web', 4));
    await client.create(resources.services, {
      metadata: { name: 'web', namespace: 'default' },
      spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
    });
    await eventually('the Deployment', async () =>
      (await availableReplicas('web')) === 4 ? true : undefined,
    );
    const { items: pods } = await client.list(resources.pods, { labelSelector: 'app=web' });
    expect(new Set(pods.map((pod) => pod.spec?.nodeName))).toEqual(new Set(['node-1', 'node-2']));

    const printed = await output(
      'caller',
      `(async () => {
        for (let i = 0; i < 40; i++) {
          const response = await fetch('http://web.default.svc.cluster.local', { headers: { connection: 'close' } });
          console.log(await response.text());
        }
      })()`,
    );
    expect(new Set(printed.trim().split('\n'))).toEqual(new Set(pods.map((pod) => pod.metadata.name)));
  });

  it('refuses connections to a Service without endpoints, and names nothing that is not there', async () => {
    await client.create(resources.services, {
      metadata: { name: 'empty', namespace: 'default' },
      spec: { selector: { app: 'nobody' }, ports: [{ port: 80 }] },
    });
    const printed = await output(
      'refused',
      `for (const name of ['empty', 'absent'])
        fetch('http://' + name).catch((error) => console.log(name, error.cause.code))`,
    );
    expect(printed.trim().split('\n').sort()).toEqual(['absent ENOTFOUND', 'empty ECONNREFUSED']);
  });

  it('deletes what an owner leaves behind, and everything of a namespace', async () => {
    await client.create(resources.namespaces, { metadata: { name: 'doomed' } });
    const configMap = (name: string, owner?: KubernetesObject): ConfigMap => ({
      metadata: {
        name,
        namespace: 'doomed',
        ...(owner === undefined
          ? {}
          : {
              ownerReferences: [
                { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid ?? '' },
              ],
            }),
      },
    });
    const owner = await client.create(resources.configMaps, configMap('owner'));
    await client.create(resources.configMaps, configMap('owned', owner));
    await client.create(resources.configMaps, configMap('free'));
    await client.delete(resources.configMaps, 'owner', 'doomed');
    const gone = (request: Promise<unknown>) =>
      request.then(
        () => undefined,
        (error: unknown) => (isNotFound(error) ? true : undefined),
      );
    await eventually('garbage collection', () => gone(client.get(resources.configMaps, 'owned', 'doomed')));
    await client.get(resources.configMaps, 'free', 'doomed');
    await client.delete(resources.namespaces, 'doomed');
    await eventually('the end of the namespace', () => gone(client.get(resources.namespaces, 'doomed')));
  });

  it('keeps its data when the API server is killed', async () => {
    const before = await client.get(resources.services, 'web', 'default');
    process.kill(await processWith('api-server/main.js'), 'SIGKILL');
    const after = await eventually('the API server', () => client.get(resources.services, 'web', 'default'));
    expect(after.metadata).toEqual(before.metadata);
  });

  it('raises a node again that lost its power, and its pods with it', async () => {
    process.kill(await processWith('proxy/main.js'), 'SIGKILL'); // on the way: any process may die
    const { items } = await client.list(resources.pods, {
      labelSelector: 'app=web',
      fieldSelector: 'spec.nodeName=node-1',
    });
    const restarts = (pod: Pod) =>
      JSON.stringify(pod.status?.['containerStatuses'] ?? []).match(/"restartCount":(\d+)/)?.[1];
    expect(items.map(restarts)).toEqual(items.map(() => '0'));
    // A signal to `unshare` is passed on to the node's PID 1.
    process.kill(await processWith('node-init.sh node-1'), 'SIGKILL');
    await eventually('the pods of node-1', async () => {
      const { items: now } = await client.list(resources.pods, {
        labelSelector: 'app=web',
        fieldSelector: 'spec.nodeName=node-1',
      });
      const ready = now.filter((pod) =>
        pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
      );
      return ready.length === items.length && ready.every((pod) => Number(restarts(pod)) > 0)
        ? true
        : undefined;
    });
    await eventually('the Deployment', async () =>
      (await availableReplicas('web')) === 4 ? true : undefined,
    );
  });

  it('leaves nothing when it is stopped', async () => {
    expect(await cluster.stop()).toBe(true);
    expect((await processesIn(daemon.pidNamespace)).pids).toEqual([]);
    expect(existsSync(stateDir)).toBe(false);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(stateDir);
    expect(await cluster.stop()).toBe(false);
    await expect(clusterStatus({ name: 'kernel-test', stateDir })).resolves.toMatchObject({
      state: 'absent',
    });
  });
});
