import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { systemErrorCode, WeftError } from '@weft/telemetry';
import type { Topology } from './topology.ts';

/** Where the parts of one cluster lie. Everything below `root` is the cluster's and goes with it. */
export class StateDirectory {
  readonly root: string;

  constructor(root: string) {
    this.root = resolve(root);
  }

  get kubeconfig(): string {
    return join(this.root, 'kubeconfig');
  }
  get clusterFile(): string {
    return join(this.root, 'cluster.json');
  }
  get daemonFile(): string {
    return join(this.root, 'daemon.json');
  }
  get lockFile(): string {
    return join(this.root, 'launcher.lock');
  }
  get pki(): string {
    return join(this.root, 'pki');
  }
  get store(): string {
    return join(this.root, 'store');
  }
  get logs(): string {
    return join(this.root, 'logs');
  }
  get nodes(): string {
    return join(this.root, 'nodes');
  }
  get configs(): string {
    return join(this.root, 'config');
  }
  node(name: string): string {
    return join(this.nodes, name);
  }
  log(process: string): string {
    return join(this.logs, `${process}.log`);
  }

  async create(): Promise<void> {
    // Keys of the cluster lie below: nobody else reads it.
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    for (const directory of [this.pki, this.store, this.logs, this.nodes, this.configs]) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
    }
  }
}

/** `$XDG_STATE_HOME/weft/<name>`, else `~/.local/state/weft/<name>`. */
export function defaultStateDirectory(
  name = 'default',
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const base = environment.XDG_STATE_HOME;
  return base !== undefined && base.startsWith('/')
    ? join(base, 'weft', name)
    : join(homedir(), '.local', 'state', 'weft', name);
}

/** How the cluster's namespaces map users; see reference of `unshare(1)`. */
export type UserMapping = 'root' | 'single-user' | 'subordinate-ids';

/** What the launcher decided, read by the supervisor. */
export interface ClusterRecord {
  readonly name: string;
  readonly port: number;
  readonly userMapping: UserMapping;
  readonly topology: Topology;
  readonly imageTable?: string;
  /** Paths that must stay visible in the nodes although /run, /tmp and /var are the nodes' own. */
  readonly visiblePaths: readonly string[];
}

/** The detached process, in the host's PID namespace. */
export interface DaemonRecord {
  readonly pid: number;
  /** Field 22 of `/proc/PID/stat`; tells a reused PID from the daemon. */
  readonly startTime: string;
  /** Inode of the cluster's PID namespace. */
  readonly pidNamespace: string;
  readonly startedAt: string;
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
  await rename(temporary, path);
}

/** Undefined when the file isn't there. The files are ours alone, so their shape is trusted. */
export async function readJson<T>(path: string): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as T; // written by writeJson above with this very type
  } catch (error) {
    throw new WeftError('WEFT2006', `${path} is damaged`, { cause: error });
  }
}
