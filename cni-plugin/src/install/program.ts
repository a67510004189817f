import { createHash, type Hash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import path from 'node:path';
import { CniName } from '@weft/api';
import { systemErrorCode } from '@weft/telemetry';
import { writeAtomically } from './atomic-write.ts';

/** What the plugin consists of, as found in the agent's image. */
export interface PluginProgram {
  readonly bundleFile: string;
  readonly nodeFile: string;
  /** The loader and the libraries of that Node; the names that are in use for each are those that lead to it. */
  readonly libraryFiles: readonly string[];
  /** Everything in one executable, which needs the C libraries of the node; absent from an image that doesn't bring it. */
  readonly executableFile: string;
}

/** Beside the wrapper. One folder for each version in it, so that no start ever meets a mixture of two. */
const PROGRAM_DIR = '.istio-cni';
/** What is larger is no wrapper, but the executable. */
const MAX_WRAPPER_BYTES = 4_096;
const LOADER = /^ld-(linux|musl)[^/]*\.so/;

/** The files of the running Node: what it has mapped. What was compiled for Node itself, as addons are, isn't among them. */
export function librariesOfThisProcess(maps = readFileSync('/proc/self/maps', 'utf8')): readonly string[] {
  const files = maps.split('\n').map((line) => /\s(\/.*)$/.exec(line)?.[1] ?? '');
  return [...new Set(files.filter((file) => /\.so[.\d]*$/.test(file)))];
}

/** Whether the node has a shell, as its first process sees it. One that can't be looked at is taken to have one. */
export function nodeHasShell(procDir: string): boolean {
  try {
    lstatSync(path.join(procDir, '1/root/bin/sh'));
    return true;
  } catch (error) {
    return systemErrorCode(error) !== 'ENOENT';
  }
}

/**
 * Puts the plugin onto the node: a shell script beside a folder with Node, its loader and its libraries, which needs
 * nothing else of the node; or, on a node without a shell, the executable.
 */
export function installProgram(
  binDir: string,
  program: PluginProgram,
  node: { readonly hasShell: boolean },
): void {
  const target = path.join(binDir, CniName.plugin);
  if (!node.hasShell && existsSync(program.executableFile)) {
    copyIfChanged(program.executableFile, target);
    rmSync(path.join(binDir, PROGRAM_DIR), { recursive: true, force: true });
    return;
  }
  const previous = versionInUse(target);
  const version = installFolder(path.join(binDir, PROGRAM_DIR), program);
  writeAtomically(target, wrapper(version, loaderOf(program)), 0o755);
  chmodSync(target, 0o755);
  // A start that has read the former wrapper may be about to look for its files.
  for (const entry of readdirSync(path.join(binDir, PROGRAM_DIR)))
    if (entry !== version && entry !== previous)
      rmSync(path.join(binDir, PROGRAM_DIR, entry), { recursive: true, force: true });
}

export function removeProgram(binDir: string): void {
  rmSync(path.join(binDir, CniName.plugin), { force: true });
  rmSync(path.join(binDir, PROGRAM_DIR), { recursive: true, force: true });
}

/** The runtime calls the plugin by its absolute path. Options for the runtime's own Node programs are not for us. */
function wrapper(version: string, loader: string | undefined): string {
  const run = loader === undefined ? '' : `"$dir/${loader}" --library-path "$dir" `;
  return `#!/bin/sh
dir="\${0%/*}/${PROGRAM_DIR}/${version}"
unset NODE_OPTIONS
exec ${run}"$dir/node" "$dir/plugin.cjs"
`;
}

/** The version that a wrapper names. */
function versionInUse(file: string): string | undefined {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? Number.POSITIVE_INFINITY) > MAX_WRAPPER_BYTES)
    return undefined;
  return new RegExp(`/${PROGRAM_DIR}/([0-9a-f]+)"`).exec(readFileSync(file, 'utf8'))?.[1];
}

function loaderOf({ libraryFiles }: PluginProgram): string | undefined {
  return libraryFiles.map((file) => path.basename(file)).find((name) => LOADER.test(name));
}

/** Makes the folder of this version, whole or not at all, and returns its name. */
function installFolder(dir: string, { bundleFile, nodeFile, libraryFiles }: PluginProgram): string {
  const hash = createHash('sha256');
  for (const file of [bundleFile, nodeFile, ...libraryFiles]) hashFile(hash, file);
  const version = hash.digest('hex').slice(0, 16);
  const target = path.join(dir, version);
  if (existsSync(target)) return version;
  const temporary = path.join(dir, `.${version}.${process.pid}.tmp`);
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  copyFileSync(bundleFile, path.join(temporary, 'plugin.cjs'));
  copyExecutable(nodeFile, path.join(temporary, 'node'));
  for (const file of libraryFiles) {
    const name = path.basename(file);
    copyExecutable(file, path.join(temporary, name));
    for (const link of linksTo(file)) symlinkSync(name, path.join(temporary, link));
  }
  renameSync(temporary, target);
  return version;
}

/** In pieces: Node alone is larger than all that the agent has in memory otherwise. */
function hashFile(hash: Hash, file: string): void {
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  const fd = openSync(file, 'r');
  try {
    for (let n = readSync(fd, buffer); n > 0; n = readSync(fd, buffer)) hash.update(buffer.subarray(0, n));
  } finally {
    closeSync(fd);
  }
}

/** Names beside the file that lead to it: programs ask for `libstdc++.so.6` and get `libstdc++.so.6.0.30`. */
function linksTo(file: string): readonly string[] {
  const real = realpathSync(file);
  const dir = path.dirname(file);
  const [stem = ''] = path.basename(file).split(/[-.]/);
  return readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isSymbolicLink() && entry.name.startsWith(stem))
    .map(({ name }) => name)
    .filter((name) => existsSync(path.join(dir, name)) && realpathSync(path.join(dir, name)) === real);
}

function copyIfChanged(from: string, to: string): void {
  const [source, there] = [statSync(from), statSync(to, { throwIfNoEntry: false })];
  if (there?.size === source.size && there.mtimeMs >= source.mtimeMs) return;
  const temporary = path.join(path.dirname(to), `.${path.basename(to)}.${process.pid}.tmp`);
  copyExecutable(from, temporary);
  renameSync(temporary, to);
}

function copyExecutable(from: string, to: string): void {
  copyFileSync(from, to, constants.COPYFILE_FICLONE);
  chmodSync(to, 0o755);
}
