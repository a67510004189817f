import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { describeError, WeftError } from '@weft/telemetry';
import { run, systemEnvironment } from './commands.ts';
import { unshareArguments } from './namespaces.ts';
import type { UserMapping } from './state-directory.ts';

/** Programs that a cluster calls, with the Debian package of each. */
const programs: Readonly<Record<string, string>> = {
  bash: 'bash',
  ip: 'iproute2',
  mount: 'mount',
  nft: 'nftables',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  unshare: 'util-linux',
};

/** Settings that forbid user namespaces, with the value at fault and the cure. */
const userNamespaceSettings = [
  {
    file: '/proc/sys/user/max_user_namespaces',
    blocks: '0',
    cure: 'sysctl -w user.max_user_namespaces=15000',
  },
  {
    file: '/proc/sys/kernel/unprivileged_userns_clone',
    blocks: '0',
    cure: 'sysctl -w kernel.unprivileged_userns_clone=1',
  },
  {
    file: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    blocks: '1',
    cure: 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
  },
] as const;

/** One line of the probe each, so that the first one that fails says what the kernel lacks. */
const probe = [
  'ip link set lo up',
  'ip link add probe-br type bridge',
  'ip link add probe-a type veth peer name probe-b',
  'nft add table ip probe',
  'nft "add chain ip probe nat { type nat hook prerouting priority -100 ; }"',
  'mount -t tmpfs probe /mnt',
].join(' && ');

/**
 * Finds out how this user can make a cluster's namespaces; a wish is checked, not questioned.
 * @throws WEFT2001 naming the missing packages, WEFT2002 naming what forbids the namespaces
 */
export async function preflight(wish?: UserMapping): Promise<UserMapping> {
  const missing = await missingPackages();
  if (missing.length > 0) {
    throw new WeftError(
      'WEFT2001',
      `missing: ${missing.join(', ')}; on Debian: apt-get install ${missing.join(' ')}`,
    );
  }
  const mapping = wish ?? (await bestMapping());
  try {
    await run('unshare', [...unshareArguments(mapping), 'sh', '-c', probe]);
  } catch (error) {
    const setting = mapping === 'root' ? undefined : await forbiddingSetting();
    throw new WeftError(
      'WEFT2002',
      setting ?? `a network namespace with a bridge and nftables can't be made here: ${describeError(error)}`,
      { cause: error },
    );
  }
  return mapping;
}

async function missingPackages(): Promise<readonly string[]> {
  const missing = new Set<string>();
  for (const [program, debianPackage] of Object.entries(programs)) {
    if (!(await isInPath(program))) missing.add(debianPackage);
  }
  return [...missing];
}

async function isInPath(program: string): Promise<boolean> {
  for (const directory of (systemEnvironment().PATH ?? '').split(delimiter)) {
    try {
      await access(join(directory, program), constants.X_OK);
      return true;
    } catch {
      // Not in this one.
    }
  }
  return false;
}

async function bestMapping(): Promise<UserMapping> {
  if (process.getuid?.() === 0) return 'root';
  return (await canUse('subordinate-ids')) ? 'subordinate-ids' : 'single-user';
}

/** True when `newuidmap` and the user's subuid range are there; then pods can have any uid. */
async function canUse(mapping: UserMapping): Promise<boolean> {
  try {
    await run('unshare', [...unshareArguments(mapping), 'true']);
    return true;
  } catch {
    return false;
  }
}

async function forbiddingSetting(): Promise<string | undefined> {
  for (const { file, blocks, cure } of userNamespaceSettings) {
    const value = await readFile(file, 'utf8').catch(() => '');
    if (value.trim() === blocks) return `${file} is ${blocks}, which forbids user namespaces; cure: ${cure}`;
  }
  return undefined;
}
