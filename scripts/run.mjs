#!/usr/bin/env node
// One entry for `npm test`, `npm run demo` and friends. Makes sure that the workspace is installed and built,
// then runs the command. Needs nothing but Node and npm.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Weft needs Node 20.19 or later; this is ${process.version}.`);
  process.exit(1);
}

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
process.env.PATH = `${path.join(root, 'node_modules/.bin')}:${process.env.PATH}:/usr/sbin:/sbin`;

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (result.error) throw result.error;
  return result.status ?? 1;
}

function mustRun(command, args, options) {
  const status = run(command, args, options);
  if (status !== 0) process.exit(status);
}

/** Installs the workspace when the lockfile or the Node version changed since the last time. */
function install() {
  const { packageManager } = JSON.parse(readFileSync('package.json', 'utf8'));
  const hash = createHash('sha256')
    .update(readFileSync('pnpm-lock.yaml'))
    .update(process.version)
    .digest('hex');
  const stamp = 'node_modules/.weft-install';
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  console.log(`installing the workspace with ${packageManager} …`);
  const { status, stdout, stderr } = spawnSync(
    'npx',
    ['--yes', packageManager, 'install', '--frozen-lockfile'],
    {
      env: { ...process.env, npm_config_loglevel: 'error' },
      encoding: 'utf8',
    },
  );
  if (status !== 0) {
    console.error(`${stdout}${stderr}\nthe workspace could not be installed: see above`);
    process.exit(status ?? 1);
  }
  writeFileSync(stamp, hash);
}

/** tsc never deletes outputs; a removed test would live on in dist and still run. */
function removeStaleOutputs() {
  const packages = [...readdirSync('packages').map((p) => `packages/${p}`), 'cni-plugin', 'e2e', 'bench'];
  for (const pkg of packages) {
    const dist = path.join(pkg, 'dist');
    if (!existsSync(dist)) continue;
    for (const file of readdirSync(dist, { recursive: true })) {
      const output = path.join(dist, file);
      if (!/\.(js|js\.map|d\.ts|d\.ts\.map)$/.test(file) || !statSync(output).isFile()) continue;
      const source = path.join(pkg, 'src', file.replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts'));
      if (!existsSync(source)) rmSync(output);
    }
  }
}

function build() {
  removeStaleOutputs();
  mustRun('tsc', ['-b']);
  mustRun(process.execPath, ['cni-plugin/scripts/bundle.mjs']);
}

function soak(options) {
  return run(process.execPath, ['e2e/dist/soak/main.js', ...options]);
}

async function installBenchPrograms() {
  const { benchPrograms, ensureSystemPackages, explainMissing } = await import('./system-packages.mjs');
  const missing = ensureSystemPackages(benchPrograms);
  if (missing.length === 0) return;
  console.error(explainMissing(missing));
  process.exit(1);
}

const [command = 'test', ...args] = process.argv.slice(2);
install();
switch (command) {
  case 'build':
    build();
    break;
  case 'test':
    build();
    process.exit(run(process.execPath, ['scripts/test.mjs', ...args]));
    break;
  case 'demo':
    build();
    process.exit(run(process.execPath, ['scripts/demo.mjs', ...args]));
    break;
  case 'weft':
    build();
    process.exit(run(process.execPath, ['packages/cli/bin/weft.js', ...args]));
    break;
  case 'lint':
    build();
    mustRun('oxlint', ['--type-aware', '--deny-warnings']);
    mustRun('biome', ['format']);
    break;
  case 'generate':
    mustRun(process.execPath, ['packages/api/scripts/generate-proto.mjs']);
    mustRun('tsc', ['-b']);
    mustRun(process.execPath, ['packages/api/scripts/generate-crds.mjs']);
    mustRun(process.execPath, ['packages/telemetry/scripts/generate-errors-doc.mjs']);
    mustRun(process.execPath, ['packages/proxy/scripts/generate-fields-doc.mjs']);
    break;
  case 'format':
    mustRun('biome', ['format', '--write']);
    break;
  case 'bench':
    build();
    if (args[0] === 'churn') process.exit(soak(['--minutes', '30', ...args.slice(1)]));
    if (['proxy', 'tunnel'].includes(args[0])) await installBenchPrograms();
    process.exit(run(process.execPath, ['bench/dist/main.js', ...args]));
    break;
  case 'soak':
    build();
    process.exit(soak(args));
    break;
  default:
    console.error(`run.mjs: unknown command ${command}`);
    process.exit(2);
}
