import type { RootFilesystemPlan } from './root-filesystem.ts';

export interface ContainerScriptRequest {
  /** An empty directory of the node, on which the container's root is mounted. */
  readonly rootDir: string;
  readonly plan: RootFilesystemPlan;
  readonly readOnlyRoot: boolean;
  readonly privileged: boolean;
  /** The container sees the node's processes, and has no process 1 of its own. */
  readonly hostPid: boolean;
  /** Undefined keeps the node's. */
  readonly hostname: string | undefined;
  readonly workingDir: string;
  /** Credentials, environment and command, ready to be executed. */
  readonly command: readonly string[];
}

/** The descriptor on which the script reports its PID, once the container is ready to run. */
export const READY_FD = 3;

/** Bytes that a container may write to its own root. */
const ROOT_SIZE = '1g';
const SHM_SIZE = '64m';
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];

const functions = `
mnt() { mount -n "$@"; }
# A read-only bind. Flags that the machine's owner has set on the mount may not be taken away, so they are named.
ro() {
  mnt --rbind --make-rprivate "$1" "$2"
  for flags in "" ,nosuid,nodev ,nosuid,nodev,noexec; do
    mnt -o "remount,bind,ro$flags" "$2" 2>/dev/null && return
  done
}`;

/**
 * The program of a container's first process, for /bin/sh. It runs in new mount, UTS and PID namespaces: builds the
 * root, moves into it, says that it is ready, and becomes the container.
 */
export function containerScript(request: ContainerScriptRequest): string {
  const { rootDir, plan, readOnlyRoot, hostname, workingDir, command } = request;
  return [
    'set -eu',
    // /proc is still the kubelet's, so this is our PID as the kubelet sees it.
    'read -r pid rest </proc/self/stat',
    functions,
    `mnt -t tmpfs -o mode=0755,size=${ROOT_SIZE} weft ${quote(rootDir)}`,
    `cd ${quote(rootDir)}`,
    ...batch('mkdir -p', [...plan.directories, '.weft/old', 'dev/pts', 'dev/shm']),
    'chmod 1777 tmp var/tmp',
    ...plan.emptyFiles.map((path) => `: >${quote(path)}`),
    ...linkCommands(plan.links),
    ...plan.binds.map(({ source, target }) => `ro ${quote(source)} ${quote(target)}`),
    ...systemMounts(request),
    ...plan.mounts.flatMap(mountCommands),
    ...(hostname === undefined ? [] : [`hostname ${quote(hostname)}`]),
    'pivot_root . .weft/old',
    'cd /',
    'umount -n -l /.weft/old',
    'rmdir /.weft/old',
    ...(readOnlyRoot ? ['mnt -o remount,bind,ro /'] : []),
    `cd ${quote(workingDir)}`,
    `echo "$pid" >&${READY_FD}`,
    `exec ${READY_FD}>&-`,
    request.hostPid
      ? `exec ${command.map(quote).join(' ')}`
      : `exec sh -c ${quote(initScript)} init ${command.map(quote).join(' ')}`,
    '',
  ].join('\n');
}

/**
 * Process 1 of a container: passes signals on to the container's command, reaps what that leaves behind, and ends with
 * its status. Without it a command that doesn't expect to be process 1 would ignore SIGTERM and collect zombies.
 */
const initScript = `
exec 3<&0
for s in TERM INT HUP QUIT USR1 USR2; do trap "kill -$s \\$c 2>/dev/null" $s; done
"$@" <&3 3<&- &
c=$!
exec 3<&- </dev/null
while :; do
  wait $c; status=$?
  kill -0 $c 2>/dev/null || exit $status
done`;

function systemMounts({ privileged, hostPid }: ContainerScriptRequest): readonly string[] {
  const sysOptions = privileged ? 'nosuid,nodev,noexec' : 'ro,nosuid,nodev,noexec';
  return [
    // Of our own PID namespace; the bind is for where a container engine around us hides parts of /proc.
    hostPid ? 'mnt --rbind /proc proc' : 'mnt -t proc proc proc 2>/dev/null || mnt --rbind /proc proc',
    `mnt -t sysfs -o ${sysOptions} sysfs sys 2>/dev/null || mnt --rbind /sys sys`,
    ...DEVICES.map((name) => `: >dev/${name}; mnt --bind /dev/${name} dev/${name}`),
    'mnt -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts',
    'ln -s pts/ptmx dev/ptmx',
    'ln -s /proc/self/fd dev/fd',
    'ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr',
    `mnt -t tmpfs -o mode=1777,size=${SHM_SIZE} shm dev/shm`,
  ];
}

function mountCommands(mount: RootFilesystemPlan['mounts'][number]): readonly string[] {
  const target = quote(mount.target);
  const parent = quote(mount.target.slice(0, Math.max(0, mount.target.lastIndexOf('/'))) || '.');
  return [
    ...(mount.insideMount
      ? [
          mount.isDirectory
            ? `mkdir -p ${target}`
            : `[ -e ${target} ] || { mkdir -p ${parent}; : >${target}; }`,
        ]
      : []),
    // The tree is a slave of the node's: without --make-rprivate it follows what the node mounts later.
    mount.followsHost
      ? `mnt --rbind ${quote(mount.source)} ${target}`
      : `mnt --rbind --make-rprivate ${quote(mount.source)} ${target}`,
    ...(mount.readOnly ? [`mnt -o remount,bind,ro ${target}`] : []),
  ];
}

/** Links with the same last name and directory of destination are made by one `ln`. */
function linkCommands(links: RootFilesystemPlan['links']): readonly string[] {
  const byDirectory = new Map<string, string[]>();
  const commands: string[] = [];
  for (const { path, to } of links) {
    const directory = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.';
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (to.endsWith(`/${name}`)) byDirectory.set(directory, [...(byDirectory.get(directory) ?? []), to]);
    else commands.push(`ln -s ${quote(to)} ${quote(path)}`);
  }
  for (const [directory, targets] of byDirectory)
    commands.push(...batch(`ln -s -t ${quote(directory)}`, targets));
  return commands;
}

/** One process for many arguments: starting it costs more than its work. */
function batch(command: string, args: readonly string[]): readonly string[] {
  return args.length === 0 ? [] : [`${command} -- ${args.map(quote).join(' ')}`];
}

/** For /bin/sh. */
export function quote(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Executes a command with exactly these variables and every signal at its default, in a directory if one is given. */
export function withEnvironment(
  variables: Readonly<Record<string, string>>,
  command: readonly string[],
  workingDir?: string,
): readonly string[] {
  const change = workingDir === undefined ? [] : [`--chdir=${workingDir}`];
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  return ['env', '--default-signal', ...change, '-i', ...assignments, ...command];
}
