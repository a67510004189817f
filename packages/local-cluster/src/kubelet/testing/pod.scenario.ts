import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger, systemClock } from '@weft/telemetry';
import { installBasePlugin } from '../../cni/install.ts';
import { PodNetwork } from '../../cni/network.ts';
import { runInContainer } from '../container-exec.ts';
import { ImageTable } from '../images.ts';
import { PodWorker } from '../pod-worker.ts';
import type { Container, Pod, PodSpec } from '../pod.ts';
import { PodCgroups } from '../sandbox/cgroup.ts';
import { createNetworkNamespaceFile, removeNetworkNamespaceFile } from '../sandbox/network-namespace-file.ts';
import { readPrivileges } from '../security.ts';
import { FakeApi, isReady } from './fake-api.ts';

/**
 * Runs pods for real, in namespaces that the test made for this process, and prints what it saw as one JSON object.
 * The API is in memory; everything else is what a kubelet uses.
 */
process.env.PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
execFileSync('mount', ['--make-rshared', '/']);
execFileSync('mount', ['-n', '-t', 'tmpfs', 'scenario', '/mnt']);
execFileSync('ip', ['link', 'set', 'lo', 'up']);
const root = mkdtempSync('/mnt/node-');
const at = (name: string): string => join(root, name);
for (const name of ['netns', 'logs', 'pods', 'host']) mkdirSync(at(name));
writeFileSync(at('images.json'), JSON.stringify({ images: [] }));
writeFileSync(at('host/file'), 'of the host');

const dataDir = at('addresses');
await installBasePlugin({ confDir: at('net.d'), binDir: at('bin'), dataDir, podCidr: '10.244.9.0/24' });
const network = new PodNetwork({ confDir: at('net.d'), binDirs: [at('bin')], cacheDir: at('results') });
const api = new FakeApi();
api.configMaps.set('settings', { metadata: { name: 'settings' }, data: { level: 'debug' } });
const workers = new Map<string, PodWorker>();

const names = await inspectPods();
const restarted = await inspectRestart();
const users = await inspectUsers();
const left = await removeEverything();
process.stdout.write(`${JSON.stringify({ ...names, ...restarted, ...users, ...left })}\n`);
process.exit(0);

function start(
  name: string,
  spec: Partial<PodSpec> & { readonly containers: readonly Container[] },
): PodWorker {
  const uid = createHash('sha1').update(name).digest('hex');
  const pod: Pod = {
    metadata: { name, namespace: 'test', uid },
    spec: { terminationGracePeriodSeconds: 5, ...spec },
  };
  const worker = new PodWorker(pod, {
    api,
    clock: systemClock,
    logger: silentLogger,
    setup: {
      api,
      images: new ImageTable(at('images.json')),
      privileges: readPrivileges(),
      services: () => [],
    },
    sandbox: {
      network,
      netnsDir: at('netns'),
      cgroups: PodCgroups.none(),
      dns: { serviceIp: '10.96.0.10', domain: 'cluster.local' },
      hostIp: '127.0.0.1',
    },
    downward: { nodeName: 'node-1', hostIp: '127.0.0.1', allocatable: { cpu: 2, memoryBytes: 2 ** 30 } },
    restartBackoff: { initialMs: 200, maxMs: 1000 },
    podsDir: at('pods'),
    logsDir: at('logs'),
    onRemoved: () => undefined,
  });
  workers.set(name, worker);
  return worker;
}

function container(command: string, more: Partial<Container> = {}): Container {
  return { name: 'c', image: 'localhost/host', command: ['sh', '-c', command], ...more };
}

async function inside(worker: PodWorker, command: string): Promise<string> {
  const current = worker.containers.at(-1)?.currentRun;
  if (current === undefined) return 'not running';
  const { output } = await runInContainer(
    current.process,
    current.run,
    ['sh', '-c', command],
    AbortSignal.timeout(10_000),
  );
  return output.trim();
}

/** Two pods on one node: network, volumes, names, init containers, mounts that follow the node. */
async function inspectPods(): Promise<Record<string, unknown>> {
  const serve = `exec '${process.execPath}' -e 'require("http").createServer((q,s)=>s.end(q.socket.remoteAddress)).listen(80)'`;
  const server = start('server', {
    containers: [container(serve, { readinessProbe: { httpGet: { port: 80 }, periodSeconds: 1 } })],
  });
  const client = start('client', {
    volumes: [
      { name: 'shared', emptyDir: {} },
      { name: 'memory', emptyDir: { medium: 'Memory' } },
      { name: 'settings', configMap: { name: 'settings' } },
      { name: 'host', hostPath: { path: at('host') } },
      { name: 'netns', hostPath: { path: at('netns') } },
      { name: 'token', projected: { sources: [{ serviceAccountToken: { audience: 'ca', path: 'token' } }] } },
    ],
    initContainers: [
      container('echo from init >/shared/file', {
        name: 'init',
        volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
      }),
    ],
    containers: [
      container('while :; do sleep 0.1; done', {
        env: [{ name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
        securityContext: { readOnlyRootFilesystem: true },
        volumeMounts: [
          { name: 'shared', mountPath: '/shared' },
          { name: 'memory', mountPath: '/memory' },
          { name: 'settings', mountPath: '/etc/app/settings' },
          { name: 'host', mountPath: '/host', readOnly: true },
          { name: 'netns', mountPath: '/var/run/netns', mountPropagation: 'HostToContainer' },
          { name: 'token', mountPath: '/var/run/secrets/tokens' },
        ],
      }),
    ],
  });
  const serverIp = (await api.until('server', isReady)).podIP ?? '';
  await api.until('client', isReady);
  const extra = await createNetworkNamespaceFile(at('netns'));
  const followed = await inside(client, 'ls /var/run/netns | wc -l');
  await removeNetworkNamespaceFile(extra);
  const fetch = `'${process.execPath}' -e 'fetch("http://${serverIp}").then((r)=>r.text()).then(console.log,console.log)'`;
  return {
    fetched: await inside(client, fetch),
    clientIp: api.statuses.get('client')?.podIP,
    environment: await inside(client, 'echo "$POD_IP $(hostname)"'),
    shared: await inside(client, 'cat /shared/file'),
    settings: await inside(client, 'cat /etc/app/settings/level'),
    token: await inside(client, 'cat /var/run/secrets/tokens/token'),
    hostFile: await inside(client, 'cat /host/file; touch /host/other 2>/dev/null || echo read-only'),
    rootFile: await inside(client, 'touch /file 2>/dev/null || echo read-only'),
    memory: await inside(client, 'grep -c " /memory tmpfs" /proc/mounts'),
    processOne: await inside(client, 'cat /proc/1/comm'),
    resolver: await inside(client, 'head -1 /etc/resolv.conf'),
    followed: Number(followed),
    phases: [...new Set(api.phases)],
    serverWorks: server.netns !== undefined,
  };
}

/** A container that ends is run again; one that is killed takes its children along. */
async function inspectRestart(): Promise<Record<string, unknown>> {
  const crash = start('crash', {
    containers: [container('echo last words >/dev/termination-log; sleep 1000 & exit 3')],
  });
  const status = await api.until(
    'crash',
    ({ containerStatuses = [] }) => (containerStatuses[0]?.restartCount ?? 0) >= 2,
  );
  const [first] = status.containerStatuses ?? [];
  const ended = first?.state.terminated ?? first?.lastState.terminated;
  const job = start('job', { restartPolicy: 'Never', containers: [container('echo out; echo err >&2')] });
  const finished = await api.until('job', ({ phase }) => phase === 'Succeeded');
  const log = readFileSync(join(job.logDir, 'c', '0.log'), 'utf8');
  void crash;
  return {
    crashed: { exitCode: ended?.exitCode, message: ended?.message?.trim(), phase: status.phase },
    job: finished.phase,
    log: log
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(' ').slice(1).join(' '))
      .sort(),
  };
}

/** `runAsUser` with and without a range of uids to map. */
async function inspectUsers(): Promise<Record<string, unknown>> {
  const user = start('user', {
    containers: [
      container('while :; do sleep 0.1; done', {
        securityContext: {
          runAsUser: 1337,
          runAsGroup: 1337,
          capabilities: { drop: ['ALL'] },
          allowPrivilegeEscalation: false,
        },
      }),
    ],
  });
  const admin = start('admin', {
    containers: [
      container('while :; do sleep 0.1; done', {
        securityContext: {
          runAsUser: 0,
          runAsGroup: 1337,
          capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
        },
      }),
    ],
  });
  await api.until('user', isReady);
  await api.until('admin', isReady);
  return {
    user: await inside(user, 'echo "$(id -u):$(id -g) $(ip link set lo down 2>&1 | grep -c permitted)"'),
    adminUid: await inside(admin, 'id -u'),
    adminGid: await inside(admin, 'id -g'),
    adminMay: await inside(admin, 'ip link add test0 type bridge && echo yes'),
    warnings: api.events.filter((event) => event.includes('SecurityContextNotApplied')).length,
  };
}

async function removeEverything(): Promise<Record<string, unknown>> {
  for (const worker of workers.values()) {
    worker.update({
      ...worker.current,
      metadata: { ...worker.current.metadata, deletionTimestamp: 'now', deletionGracePeriodSeconds: 5 },
    });
  }
  await Promise.all([...workers.values()].map(({ done }) => done));
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return {
    removed: [...api.removed].sort(),
    left: {
      namespaces: readdirSync(at('netns')),
      links: execFileSync('ip', ['-o', 'link', 'show', 'type', 'veth'], { encoding: 'utf8' }),
      addresses: existsSync(dataDir) ? readdirSync(dataDir).filter((name) => name !== 'last-reserved') : [],
      results: readdirSync(at('results')),
      pods: readdirSync(at('pods')),
      logs: readdirSync(at('logs')),
      mounts: mounts.filter((line) => line.includes(root) && !line.includes(`${root}/netns `)),
      children: readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim(),
    },
  };
}
