import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describeError, WeftError } from '@weft/telemetry';
import { isMountPoint } from './mount-points.ts';

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
  if (await isMountPoint(path)) await run('umount', ['-n', '-l', path]);
  await rm(path, { force: true });
}
