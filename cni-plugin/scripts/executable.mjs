#!/usr/bin/env node
// The plugin as one executable, for nodes without a shell: this Node with the bundle in it. It needs the node's C and
// C++ libraries (glibc 2.28 or later). Usage: executable.mjs [FILE]; by default beside the bundle, where the agent
// looks for it.
import { execFileSync } from 'node:child_process';
import { copyFileSync, chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { inject } from 'postject';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const target = path.resolve(process.argv[2] ?? path.join(root, 'dist/bundle/istio-cni'));
const dir = mkdtempSync(path.join(tmpdir(), 'executable-'));
try {
  const [config, blob] = [path.join(dir, 'sea.json'), path.join(dir, 'sea.blob')];
  const main = path.join(root, 'dist/bundle/plugin.cjs');
  writeFileSync(config, JSON.stringify({ main, output: blob, disableExperimentalSEAWarning: true }));
  execFileSync(process.execPath, ['--experimental-sea-config', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  copyFileSync(process.execPath, target);
  chmodSync(target, 0o755);
  // Before the blob goes in: afterwards it would break the executable.
  stripSymbols(target);
  await inject(target, 'NODE_SEA_BLOB', readFileSync(blob), {
    sentinelFuse: 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2',
  });
} finally {
  rmSync(dir, { recursive: true });
}

/** A sixth of the size, where binutils is at hand. */
function stripSymbols(file) {
  try {
    execFileSync('strip', [file], { stdio: 'ignore' });
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}
