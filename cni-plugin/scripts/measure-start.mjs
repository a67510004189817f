#!/usr/bin/env node
// How long a call of the plugin takes, by its form and command, with the Node that runs this: medians in milliseconds,
// and the size that each form has on a node.
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installProgram, librariesOfThisProcess } from '../dist/install/program.js';

const RUNS = 21;
const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const dir = mkdtempSync(path.join(tmpdir(), 'measure-'));
const bundleFile = path.join(root, 'dist/bundle/plugin.cjs');
const executableFile = path.join(dir, 'plugin.executable');

/** An API server and an agent that say yes to everything. */
const api = createServer((request, response) => {
  const name = path.basename(request.url);
  response.end(JSON.stringify({ metadata: { name, namespace: 'shop', labels: { mesh: 'on' } }, spec: {} }));
});
const agent = createServer((request, response) => request.resume().on('end', () => response.end()));

try {
  api.listen(0, '127.0.0.1');
  agent.listen(path.join(dir, 'pluginevent.sock'));
  await Promise.all([once(api, 'listening'), once(agent, 'listening')]);
  const server = `http://127.0.0.1:${api.address().port}`;
  const kubeconfig = {
    clusters: [{ name: 'c', cluster: { server } }],
    users: [{ name: 'u', user: { token: 't' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(path.join(dir, 'istio-cni-kubeconfig'), JSON.stringify(kubeconfig));
  execFileSync(process.execPath, [path.join(root, 'scripts/executable.mjs'), executableFile], {
    stdio: 'ignore',
  });
  const program = {
    bundleFile,
    executableFile,
    nodeFile: process.execPath,
    libraryFiles: librariesOfThisProcess(),
  };
  const forms = [
    ['folder', { hasShell: true }],
    ['executable', { hasShell: false }],
  ];
  for (const [form, node] of forms) {
    const binDir = path.join(dir, form);
    mkdirSync(binDir);
    installProgram(binDir, program, node);
    const line = { form, node: process.version, megabytes: Math.round(sizeOf(binDir) / 1e6) };
    for (const command of ['VERSION', 'ADD'])
      line[command] = await median(path.join(binDir, 'istio-cni'), command);
    console.log(JSON.stringify(line));
  }
} finally {
  api.close();
  agent.close();
  rmSync(dir, { recursive: true });
}

async function median(file, command) {
  const times = [];
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    const env = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: 'c',
      CNI_NETNS: '/var/run/netns/x',
      CNI_IFNAME: 'eth0',
      CNI_ARGS: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=p',
    };
    const child = spawn(file, { env, stdio: ['pipe', 'ignore', 'inherit'] });
    child.stdin.end(
      JSON.stringify({
        cniVersion: '1.1.0',
        cni_agent_run_dir: dir,
        enablement_selectors: [{ namespaceSelector: { matchLabels: { mesh: 'on' } } }],
        prevResult: { ips: [{ address: '10.0.0.5/24' }] },
      }),
    );
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`${file} ${command} exited with ${code}`);
    times.push(performance.now() - start);
  }
  return Math.round(times.sort((a, b) => a - b)[RUNS >> 1]);
}

function sizeOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(path.join(entry.parentPath ?? entry.path, entry.name)).size, 0);
}
