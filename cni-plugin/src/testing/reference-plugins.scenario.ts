import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { silentLogger } from '@weft/telemetry';
import { listenForPlugins, type AddRequest } from '../agent/plugin-server.ts';
import { ConfigInstaller } from '../install/config-installer.ts';
import { parseNetworkConfig, type PluginConfig } from '../install/conflist.ts';
import { installProgram, librariesOfThisProcess } from '../install/program.ts';

/** Where distributions put the reference plugins of the CNI project. */
const REFERENCE_DIRS = ['/usr/lib/cni', '/opt/cni/bin'];

interface PluginAnswer {
  readonly status: number | null;
  readonly answer: unknown;
}

/** A pod's way through a chain of the reference plugins and ours, as a runtime drives it; what the test looks at. */
export async function chain(
  cniVersion: string,
  agentSays: 'yes' | 'no',
): Promise<{
  added: unknown;
  failed: string | null;
  asked: readonly { namespace: string; addresses: readonly string[] }[];
  checked: string;
  deleted: readonly number[];
  linksLeft: number;
}> {
  spawnSync('ip', ['link', 'set', 'lo', 'up']);
  const node = await startNode(agentSays);
  const pod = spawn('unshare', ['--net', 'sleep', 'infinity']);
  try {
    const netns = `/proc/${pod.pid}/ns/net`;
    await untilUnshared(netns);
    const plugins = node.install(cniVersion);
    const run = (command: string, plugin: PluginConfig, prevResult: unknown): Promise<PluginAnswer> =>
      node.run(
        command,
        { ...plugin, cniVersion, name: 'net', ...(prevResult === undefined ? {} : { prevResult }) },
        netns,
      );

    let result: unknown;
    let failed: string | null = null;
    for (const plugin of plugins) {
      const { status, answer } = await run('ADD', plugin, result);
      if (status !== 0) {
        failed = `${plugin.type} ${String(Reflect.get(Object(answer), 'code'))}`;
        break;
      }
      result = answer;
    }
    let checked = 'not in this version';
    if (cniVersion !== '0.3.1' && failed === null) {
      const answers = [];
      for (const plugin of plugins) answers.push((await run('CHECK', plugin, result)).status);
      checked = answers.join();
    }
    const deleted: number[] = [];
    for (const plugin of [...plugins, ...plugins].reverse())
      deleted.push((await run('DEL', plugin, result)).status ?? -1);
    const links = spawnSync('ip', ['-o', 'link', 'show', 'type', 'veth'], { encoding: 'utf8' });
    return {
      added: result,
      failed,
      asked: node.asked.map(({ netns: namespace, addresses }) => ({
        namespace: namespace === netns ? 'the pod’s' : namespace,
        addresses,
      })),
      checked,
      deleted,
      linksLeft: links.stdout.split('\n').filter(Boolean).length,
    };
  } finally {
    pod.kill('SIGKILL');
    await node.stop();
    spawnSync('ip', ['link', 'del', 'cni-test0']);
  }
}

/** A node's folders, an API server to which every pod belongs to the mesh, and an agent. */
async function startNode(agentSays: 'yes' | 'no'): Promise<{
  asked: AddRequest[];
  install: (cniVersion: string) => readonly PluginConfig[];
  run: (command: string, config: PluginConfig, netns: string) => Promise<PluginAnswer>;
  stop: () => Promise<void>;
}> {
  const dir = mkdtempSync(path.join(tmpdir(), 'chain-'));
  const [binDir, confDir] = [path.join(dir, 'bin'), path.join(dir, 'net.d')];
  for (const folder of [binDir, confDir]) mkdirSync(folder);
  const api = createServer((request, response) => {
    const name = path.basename(request.url ?? '');
    response.end(JSON.stringify({ metadata: { name, namespace: 'shop', labels: { mesh: 'on' } }, spec: {} }));
  });
  api.listen(0, '127.0.0.1');
  await once(api, 'listening');
  writeFileSync(path.join(dir, 'istio-cni-kubeconfig'), kubeconfigFor(api));
  const asked: AddRequest[] = [];
  const agent = await listenForPlugins(
    path.join(dir, 'pluginevent.sock'),
    (request) => {
      asked.push(request);
      return agentSays === 'yes' ? Promise.resolve() : Promise.reject(new Error('no ztunnel'));
    },
    { logger: silentLogger },
  );
  installProgram(
    binDir,
    {
      bundleFile: fileURLToPath(new URL('../bundle/plugin.cjs', import.meta.url)),
      nodeFile: process.execPath,
      libraryFiles: librariesOfThisProcess(),
      executableFile: '',
    },
    { hasShell: true },
  );
  return {
    asked,
    install: (cniVersion) => {
      const file = path.join(confDir, '10-net.conflist');
      const ipam = { type: 'host-local', subnet: '10.9.0.0/24', dataDir: path.join(dir, 'ipam') };
      const plugins = [{ type: 'bridge', bridge: 'cni-test0', isGateway: true, ipam }, { type: 'tuning' }];
      writeFileSync(file, JSON.stringify({ cniVersion, name: 'net', plugins }));
      new ConfigInstaller({
        confDir,
        groupRead: false,
        plugin: {
          type: 'istio-cni',
          cni_agent_run_dir: dir,
          enablement_selectors: [{ namespaceSelector: { matchLabels: { mesh: 'on' } } }],
        },
        chained: true,
        confName: undefined,
        ownFile: 'auto',
        ownFileName: '02-istio-cni.conflist',
        logger: silentLogger,
      }).ensure(0);
      return parseNetworkConfig(readFileSync(file, 'utf8'), file).plugins;
    },
    run: async (command, config, netns) => {
      const dirs = [binDir, ...REFERENCE_DIRS];
      const program = dirs.map((d) => path.join(d, config.type)).find((file) => existsSync(file)) ?? '';
      const child = spawn(program, {
        env: {
          PATH: process.env['PATH'],
          CNI_COMMAND: command,
          CNI_CONTAINERID: 'chained',
          CNI_NETNS: netns,
          CNI_IFNAME: 'eth0',
          CNI_PATH: dirs.join(':'),
          CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=p',
        },
      });
      return answerOf(child, config);
    },
    stop: async () => {
      await agent.close();
      api.closeAllConnections();
      api.close();
      rmSync(dir, { recursive: true });
    },
  };
}

async function answerOf(child: ChildProcess, config: object): Promise<PluginAnswer> {
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stdin?.end(JSON.stringify(config));
  const [status] = (await once(child, 'close')) as [number | null];
  const answer: unknown = output.trim() === '' ? undefined : JSON.parse(output);
  return { status, answer };
}

function kubeconfigFor(api: Server): string {
  const address = api.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return JSON.stringify({
    clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
    users: [{ name: 'u', user: { token: 't' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  });
}

async function untilUnshared(netns: string): Promise<void> {
  const own = readlinkSync('/proc/self/ns/net');
  for (let tries = 0; tries < 500; tries++) {
    if (existsSync(netns) && readlinkSync(netns) !== own) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('the pod has no network namespace');
}
