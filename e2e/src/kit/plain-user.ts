import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { capture } from '@weft/cli';
import { workspace } from './local-mesh.ts';

const SUBORDINATE_IDS = ['/etc/subuid', '/etc/subgid'] as const;

/** Shows the entries of a folder at another place, whatever the rights of the folder itself; then runs the rest. */
const SHOW_WORKSPACE = `
source=$1 place=$2
shift 2
mount -t tmpfs -o mode=0755 workspace "$place"
for entry in "$source"/*; do
  name=\${entry##*/}
  if [ -d "$entry" ]; then mkdir "$place/$name"; else : >"$place/$name"; fi
  mount --bind "$entry" "$place/$name"
done
exec "$@"`;

/** A user of this machine without any right, not even subordinate ids. Only root can make one. */
export class PlainUser {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  static async create(): Promise<PlainUser> {
    const name = `weft-${process.pid}`;
    await capture('useradd', ['--create-home', '--shell', '/bin/sh', name]);
    // useradd gives every user a range of subordinate ids; without it newuidmap refuses.
    for (const file of SUBORDINATE_IDS) {
      const lines = readFileSync(file, { encoding: 'utf8', flag: 'a+' }).split('\n');
      writeFileSync(file, lines.filter((line) => !line.startsWith(`${name}:`)).join('\n'));
    }
    return new PlainUser(name);
  }

  /** Runs a program of the workspace as this user, also where the workspace lies in a folder closed to others. */
  async run(program: string, ...args: readonly string[]): Promise<string> {
    const asUser = [
      'runuser',
      '-u',
      this.name,
      '--',
      'env',
      '-i',
      `PATH=${process.env['PATH']}`,
      `HOME=/home/${this.name}`,
    ];
    const isReadable =
      spawnSync('runuser', ['-u', this.name, '--', 'test', '-r', path.join(workspace, program)]).status === 0;
    if (isReadable) {
      const [command = '', ...rest] = [...asUser, process.execPath, path.join(workspace, program), ...args];
      return capture(command, rest);
    }
    const mountPoint = await mkdtemp('/mnt/weft-');
    try {
      return await capture('unshare', [
        ...['--mount', 'sh', '-euc', SHOW_WORKSPACE, 'sh', workspace, mountPoint],
        ...[...asUser, process.execPath, path.join(mountPoint, program), ...args],
      ]);
    } finally {
      await rm(mountPoint, { recursive: true, force: true });
    }
  }

  async remove(): Promise<void> {
    await capture('userdel', ['--remove', '--force', this.name]).catch(() => undefined);
  }
}
