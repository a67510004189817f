import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** What a committed page of results has to name: where it was measured, and with which versions. */
export function machineFacts(): Readonly<Record<string, string>> {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpu?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `Linux ${release()}, ${distribution()}`,
    Node: `${process.version}, OpenSSL ${process.versions.openssl}`,
    commit: commit(),
  };
}

/** The first version that a program prints, but for numbers in its own path. */
export function versionOf(program: string, ...args: readonly string[]): string {
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  const text = `${stdout ?? ''}${stderr ?? ''}`.replaceAll(program, '');
  return /\d+(\.\d+)+/.exec(text)?.[0] ?? 'unknown';
}

function distribution(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown';
  } catch {
    return 'unknown distribution'; // the file is a convention of distributions, not of Linux
  }
}

function commit(): string {
  const git = (...args: readonly string[]): string =>
    spawnSync('git', args, { encoding: 'utf8' }).stdout?.trim() ?? '';
  const hash = git('rev-parse', '--short', 'HEAD');
  if (hash === '') return 'unknown';
  const isChanged = git('status', '--porcelain', '--untracked-files=no', '--', '*.ts') !== '';
  return isChanged ? `${hash} with changes` : hash;
}
