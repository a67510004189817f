import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describeError, WeftError } from '@weft/telemetry';

const run = promisify(execFile);

/** Makes a network namespace with its loopback up, and keeps it by a file `cni-<uuid>`, whose path is returned. */
export async function createNetworkNamespaceFile(directory: string): Promise<string> {
  const path = join(directory, `cni-${randomUUID()}`);
  await mkdir(directory, { recursive: true });
  await writeFile(path, '');
  try {
    await run('unshare', [`--net=${path}`, '--', 'ip', 'link', 'set', 'lo', 'up']);
    return path;
  } catch (error) {
    await removeNetworkNamespaceFile(path);
    throw new WeftError('WEFT2063', `no network namespace: ${describeError(error)}`, { cause: error });
  }
}

/** The namespace itself ends with its last process. Harmless when repeated. */
export async function removeNetworkNamespaceFile(path: string): Promise<void> {
  // Lazily: a container that follows the node's mounts may still be busy with its own copy.
  if (await isNetworkNamespace(path)) await run('umount', ['-n', '-l', path]);
  await rm(path, { force: true });
}

/** True while the file still keeps a namespace: after a restart of the node it is an ordinary file. */
export async function isNetworkNamespace(path: string): Promise<boolean> {
  const [mounts, real] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8'),
    realpath(path).catch(() => undefined), // /var/run is a link on most machines
  ]);
  return mounts.split('\n').some((line) => line.split(' ')[4] === real);
}
