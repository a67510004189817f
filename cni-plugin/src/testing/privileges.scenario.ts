import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const STEP = fileURLToPath(new URL('./privilege-step.js', import.meta.url));
const children: ChildProcess[] = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

/** A pod's process: in a network namespace of its own, or of a user namespace of its own. */
async function podProcess(how: 'pod' | 'user-namespaced pod'): Promise<number> {
  const flags = how === 'pod' ? '-n' : '-Urn';
  const child = spawn('unshare', [flags, 'sh', '-c', 'ip link set lo up && echo up && exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await once(child.stdout, 'data');
  return child.pid ?? 0;
}

/**
 * Runs a step with exactly these capabilities; the result is `ok` or what failed. The operand `pod` and
 * `user-namespaced pod` stand for such a pod's namespace, `folder` for one that its owner may not write.
 */
export async function runStep(
  step: string,
  operand: string,
  capabilities: readonly string[],
): Promise<string> {
  spawnSync('ip', ['link', 'set', 'lo', 'up']);
  let argument = operand;
  let folder: string | undefined;
  if (operand === 'pod' || operand === 'user-namespaced pod')
    argument = `/proc/${await podProcess(operand)}/ns/net`;
  if (operand === 'folder') {
    argument = folder = mkdtempSync(path.join(tmpdir(), 'weft-privileges-'));
    chmodSync(folder, 0o555);
  }
  const set = ['-all', ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(',');
  const { stdout, stderr } = spawnSync(
    'setpriv',
    ['--bounding-set', set, '--inh-caps', set, process.execPath, STEP, step, argument],
    { encoding: 'utf8' },
  );
  for (const child of children.splice(0)) child.kill('SIGKILL');
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  return stdout === '' ? stderr : stdout;
}
