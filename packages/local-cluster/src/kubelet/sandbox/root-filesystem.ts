import { lstatSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { WeftError } from '@weft/telemetry';

/** What the planner reads of the machine; a test gives a small tree instead. */
export interface HostFiles {
  /** Undefined when there is nothing at the path. Symbolic links are not followed. */
  kind(path: string): 'directory' | 'file' | 'link' | undefined;
  list(path: string): readonly string[];
  readLink(path: string): string;
}

/** A volume, or a single file, at a place in the container. */
export interface ContainerMount {
  readonly source: string;
  readonly target: string;
  readonly isDirectory: boolean;
  readonly readOnly: boolean;
  /** Mounts that the node makes later below the source appear in the container too. */
  readonly followsHost: boolean;
}

export interface RootFilesystemRequest {
  /** Host paths to show read-only at the same place, beside the operating system's programs and libraries. */
  readonly binds: readonly string[];
  /** Show every top-level directory of the machine that isn't a container's own. */
  readonly allHostFiles: boolean;
  readonly mounts: readonly ContainerMount[];
  /** Is created when it doesn't exist. */
  readonly workingDir: string;
}

/** Steps that fill an empty root, in this order. Paths are relative to the root. */
export interface RootFilesystemPlan {
  readonly directories: readonly string[];
  readonly emptyFiles: readonly string[];
  readonly links: readonly { readonly path: string; readonly to: string }[];
  readonly binds: readonly { readonly source: string; readonly target: string }[];
  readonly mounts: readonly (ContainerMount & { readonly insideMount: boolean })[];
}

type Node =
  | { readonly kind: 'directory' | 'file' }
  | { readonly kind: 'link'; readonly to: string }
  /** The host's file or directory, read-only. */
  | { readonly kind: 'bind'; readonly source: string }
  | { readonly kind: 'mount'; readonly point: 'directory' | 'file' | 'exists' };

/** Where read-only copies of opened host directories lie in the container. */
const SHADOW = '/.weft';
const OWN_DIRECTORIES = [
  '/dev',
  '/proc',
  '/sys',
  '/run',
  '/tmp',
  '/var/tmp',
  '/var/log',
  '/var/lib',
  '/var/cache',
  '/root',
  '/home',
  '/mnt',
  '/srv',
  '/usr',
  '/etc',
];
/** The operating system's programs and libraries: some are links on merged systems. */
const SYSTEM_DIRECTORIES = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/etc', '/opt'];
const NEVER_FROM_HOST = new Set(['/dev', '/proc', '/sys', '/run', '/tmp', '/var', '/lost+found']);

/**
 * Plans a container's root: a tmpfs with the machine's system directories bound read-only, its own /tmp, /run and
 * /var, and the pod's volumes. A mount point that a read-only directory doesn't have is made by "opening" that
 * directory: it becomes an own directory of links to the host's entries, which can take new ones.
 */
export function planRootFilesystem(
  request: RootFilesystemRequest,
  host: HostFiles = machineFiles,
): RootFilesystemPlan {
  const root = new RootTree(host);
  for (const path of OWN_DIRECTORIES) root.makeDirectory(path);
  root.set('/var/run', { kind: 'link', to: '../run' });
  const top = request.allHostFiles ? host.list('/').map((name) => `/${name}`) : [];
  for (const path of [...SYSTEM_DIRECTORIES, ...top]) if (!NEVER_FROM_HOST.has(path)) root.showHost(path);
  const isCovered = (path: string): boolean =>
    request.mounts.some(({ target }) => path.startsWith(`${target}/`));
  for (const path of request.binds) if (!isCovered(path)) root.showHost(path);

  // What the image consists of stays visible below a volume, such as a /tmp of the pod's when it lies in /tmp.
  const mounts = [...request.mounts, ...request.binds.filter(isCovered).map((path) => imageMount(path, host))]
    .sort((a, b) => a.target.split('/').length - b.target.split('/').length)
    .map((mount) => {
      const insideMount = root.placeMount(mount.target, mount.isDirectory);
      return { ...mount, target: mount.target.slice(1), insideMount };
    });
  root.ensureDirectory(request.workingDir);
  return { ...root.steps(), mounts };
}

function imageMount(path: string, host: HostFiles): ContainerMount {
  const isDirectory = host.kind(path) === 'directory';
  return { source: path, target: path, isDirectory, readOnly: true, followsHost: false };
}

/** The container's tree before it exists: what is not in the map is inside a bind or a mount, or not there. */
class RootTree {
  private readonly host: HostFiles;
  private readonly nodes = new Map<string, Node>([['/', { kind: 'directory' }]]);

  constructor(host: HostFiles) {
    this.host = host;
  }

  set(path: string, node: Node): void {
    this.makeDirectory(dirname(path));
    this.nodes.set(path, node);
  }

  makeDirectory(path: string): void {
    if (this.nodes.has(path)) return;
    this.makeDirectory(dirname(path));
    this.nodes.set(path, { kind: 'directory' });
  }

  /** Binds a host path, or copies it if it is a link. What a bind shows already, or isn't there, is left out. */
  showHost(path: string): void {
    const kind = this.host.kind(path);
    if (kind === undefined || this.owner(path).kind === 'bind') return;
    this.set(
      path,
      kind === 'link' ? { kind: 'link', to: this.host.readLink(path) } : { kind: 'bind', source: path },
    );
  }

  /** Makes a mount point. True when it lies inside another mount and must be made at run time, once that is there. */
  placeMount(target: string, isDirectory: boolean): boolean {
    const place = this.reach(target);
    if (place === undefined) return true;
    if (!this.nodes.has(place) && this.owner(place).kind === 'bind')
      this.nodes.set(place, { kind: 'mount', point: 'exists' });
    else this.set(place, { kind: 'mount', point: isDirectory ? 'directory' : 'file' });
    return false;
  }

  ensureDirectory(path: string): void {
    const place = this.reach(path);
    if (place !== undefined && this.owner(place).kind !== 'bind') this.makeDirectory(place);
  }

  steps(): Omit<RootFilesystemPlan, 'mounts'> {
    const entries = [...this.nodes]
      .filter(([path]) => path !== '/')
      .map(([path, node]) => [path.slice(1), node] as const);
    return {
      directories: entries.filter(([, node]) => this.pointOf(node) === 'directory').map(([path]) => path),
      emptyFiles: entries.filter(([, node]) => this.pointOf(node) === 'file').map(([path]) => path),
      links: entries.flatMap(([path, node]) => (node.kind === 'link' ? [{ path, to: node.to }] : [])),
      binds: entries.flatMap(([path, node]) =>
        node.kind === 'bind' ? [{ source: node.source, target: path }] : [],
      ),
    };
  }

  /** What must be made in the empty root for the node. */
  private pointOf(node: Node): 'directory' | 'file' | 'exists' {
    switch (node.kind) {
      case 'link':
        return 'exists';
      case 'mount':
        return node.point;
      case 'bind':
        return this.host.kind(node.source) === 'directory' ? 'directory' : 'file';
      default:
        return node.kind;
    }
  }

  /** The nearest node at or above a path. */
  private owner(path: string): Node {
    return this.nodes.get(path) ?? (path === '/' ? { kind: 'directory' } : this.owner(dirname(path)));
  }

  /**
   * Follows links, and opens host directories that don't have the path, until it can be made. Returns the path without links,
   * or undefined when a mount is in between.
   */
  private reach(path: string): string | undefined {
    let current = '/';
    const names = path.split('/').filter((name) => name !== '' && name !== '.');
    for (let steps = 0; names.length > 0; steps++) {
      if (steps > MAX_PATH_STEPS) throw new WeftError('WEFT2064', `${path}: too many symbolic links`);
      const name = names.shift() ?? '';
      if (name === '..') throw new WeftError('WEFT2064', `${path}: must not contain '..'`);
      const next = join(current, name);
      const isLast = names.length === 0;
      const node = this.nodes.get(next);
      if (node?.kind === 'link' && !(isLast && node.to.includes(SHADOW.slice(1)))) {
        const shadow = shadowSource(next, node.to);
        if (shadow === undefined) {
          names.unshift(
            ...join(node.to.startsWith('/') ? '/' : current, node.to)
              .split('/')
              .filter(Boolean),
          );
          current = '/';
          continue;
        }
        this.open(next, shadow);
      } else if (node?.kind === 'bind' && !isLast) {
        if (this.existsWithoutLinks(node.source, names)) return join(next, ...names);
        this.set(`${SHADOW}${node.source}`, node);
        this.open(next, node.source);
      } else if (node?.kind === 'mount' && !isLast) {
        return undefined;
      }
      current = next;
    }
    return current;
  }

  private existsWithoutLinks(source: string, names: readonly string[]): boolean {
    return names.every((_, index) => {
      const kind = this.host.kind(join(source, ...names.slice(0, index + 1)));
      return kind === 'directory' || (kind === 'file' && index === names.length - 1);
    });
  }

  /** Turns what shows a host directory into an own directory of links to that one's entries. */
  private open(path: string, source: string): void {
    if (this.host.kind(source) !== 'directory') throw new WeftError('WEFT2064', `${path} is not a directory`);
    this.nodes.set(path, { kind: 'directory' });
    for (const name of this.host.list(source)) {
      this.nodes.set(join(path, name), { kind: 'link', to: relative(path, `${SHADOW}${source}/${name}`) });
    }
  }
}

const MAX_PATH_STEPS = 256;

/** The host path behind a link that `open` made. */
function shadowSource(path: string, to: string): string | undefined {
  const absolute = join(dirname(path), to);
  return absolute.startsWith(`${SHADOW}/`) ? absolute.slice(SHADOW.length) : undefined;
}

const machineFiles: HostFiles = {
  kind: (path) => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    return stat.isSymbolicLink() ? 'link' : stat.isDirectory() ? 'directory' : 'file';
  },
  list: (path) => readdirSync(path),
  readLink: (path) => readlinkSync(path),
};

/** Where Node itself lies, which every container can run although no image has it. */
export function nodePrefix(execPath: string = process.execPath): string {
  const directory = dirname(execPath);
  return directory.endsWith('/bin') && statSync(dirname(directory)).isDirectory()
    ? dirname(directory)
    : directory;
}
