import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemErrorCode, WeftError } from '@weft/telemetry';

export interface VolumeFile {
  readonly content: Buffer;
  readonly mode: number;
}
/** By relative path. */
export type VolumeFiles = ReadonlyMap<string, VolumeFile>;

const DATA_LINK = '..data';

/**
 * Replaces a volume's files all at once, as Kubernetes does and programs that watch them expect: they lie in a
 * directory with a fresh name, `..data` is switched to it, and the visible names are links through `..data`.
 * Returns false when the files were so already.
 */
export async function writeAtomically(directory: string, files: VolumeFiles): Promise<boolean> {
  for (const path of files.keys()) checkPath(path);
  await mkdir(directory, { recursive: true });
  const previous = await currentData(directory);
  if (previous !== undefined && (await holds(join(directory, previous), files))) return false;

  const fresh = `..${new Date().toISOString().replace(/[^\d]/g, '_')}${randomUUID().slice(0, 8)}`;
  await mkdir(join(directory, fresh));
  for (const [path, { content, mode }] of files) {
    const target = join(directory, fresh, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, content);
    await chmod(target, mode); // the process's umask applies to the mode that writeFile is given
  }
  await symlink(fresh, join(directory, `${DATA_LINK}_tmp`));
  await rename(join(directory, `${DATA_LINK}_tmp`), join(directory, DATA_LINK));

  const names = new Set([...files.keys()].map((path) => path.split('/')[0] ?? ''));
  for (const name of names) await linkOnce(`${DATA_LINK}/${name}`, join(directory, name));
  for (const name of await readdir(directory)) {
    if (!name.startsWith('..') && !names.has(name)) await rm(join(directory, name), { force: true });
  }
  if (previous !== undefined) await rm(join(directory, previous), { recursive: true, force: true });
  return true;
}

function checkPath(path: string): void {
  const parts = path.split('/');
  if (path === '' || path.startsWith('/') || parts.includes('..') || (parts[0] ?? '').startsWith('..')) {
    throw new WeftError('WEFT2065', `${path} is not a path below the volume`);
  }
}

async function currentData(directory: string): Promise<string | undefined> {
  try {
    return await readlink(join(directory, DATA_LINK));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function holds(directory: string, files: VolumeFiles): Promise<boolean> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  if (entries.filter((entry) => entry.isFile()).length !== files.size) return false;
  for (const [path, { content }] of files) {
    const present = await readFile(join(directory, path)).catch(() => undefined);
    if (present === undefined || !present.equals(content)) return false;
  }
  return true;
}

async function linkOnce(target: string, path: string): Promise<void> {
  try {
    await symlink(target, path);
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw error;
  }
}
