import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeError, WeftError } from '@weft/telemetry';
import { removeEmptyPodCgroups } from '../kubelet/sandbox/cgroup.ts';
import { run } from './commands.ts';
import { isRunning, listenOnHost, startDaemon, stopDaemon } from './daemon.ts';
import { readImageTable, type ImageTable } from './image-table.ts';
import { renderKubeconfig } from './kubeconfig.ts';
import { LauncherLock } from './launcher-lock.ts';
import { unshareArguments } from './namespaces.ts';
import { ensurePki } from './pki.ts';
import { preflight } from './preflight.ts';
import { nodeReadiness, untilNodesReady, type NodeReadiness } from './readiness.ts';
import {
  defaultStateDirectory,
  readJson,
  StateDirectory,
  writeJson,
  type ClusterRecord,
  type DaemonRecord,
  type UserMapping,
} from './state-directory.ts';
import { planTopology } from './topology.ts';

export interface ClusterName {
  /** `default` unless told otherwise. */
  readonly name?: string;
  /** `$XDG_STATE_HOME/weft/<name>`, else `~/.local/state/weft/<name>`. */
  readonly stateDir?: string;
}

export interface StartOptions extends ClusterName {
  readonly nodes?: number;
  /** The image table: its file, or the table itself. */
  readonly images?: string | ImageTable;
  /** Of the API on 127.0.0.1; a free one unless told otherwise. */
  readonly port?: number;
  /** Called with a sentence about each step. */
  readonly onProgress?: (sentence: string) => void;
  readonly readyTimeoutMs?: number;
  /** The best that this user may have, unless told otherwise. */
  readonly userMapping?: UserMapping;
  readonly signal?: AbortSignal;
}

export interface StopOptions extends ClusterName {
  /** Keeps the objects, keys and logs for the next start. */
  readonly keepData?: boolean;
  readonly onProgress?: (sentence: string) => void;
}

export interface RunningCluster {
  readonly name: string;
  readonly stateDir: string;
  readonly kubeconfigPath: string;
  readonly server: string;
  readonly userMapping: UserMapping;
  readonly nodes: readonly string[];
  stop(options?: Omit<StopOptions, keyof ClusterName>): Promise<boolean>;
}

export type ClusterStatus =
  | { readonly state: 'absent' | 'stopped'; readonly name: string; readonly stateDir: string }
  | {
      readonly state: 'running';
      readonly name: string;
      readonly stateDir: string;
      readonly kubeconfigPath: string;
      readonly server: string;
      readonly userMapping: UserMapping;
      readonly startedAt: string;
      /** Undefined while the API doesn't answer. */
      readonly nodes: readonly NodeReadiness[] | undefined;
    };

export const READY_TIMEOUT_MS = 60_000;

/** The package's own directory and Node's must stay visible inside nodes, wherever they are installed. */
const workspaceRoot = fileURLToPath(new URL('../../../../', import.meta.url));

/**
 * Starts a cluster in the background and resolves once every node is Ready.
 * @throws WEFT2001, WEFT2002 (preflight), WEFT2003 (runs already), WEFT2005 (did not come up), WEFT2007 (port), WEFT2009 (name, nodes)
 */
export async function startCluster(options: StartOptions = {}): Promise<RunningCluster> {
  const { onProgress = () => undefined, port = 0, readyTimeoutMs = READY_TIMEOUT_MS } = options;
  const { name, state } = locate(options);
  const topology = planTopology(options.nodes ?? 2);
  const images = await readImageTable(options.images);
  await state.create();
  await using _lock = await LauncherLock.acquire(state.lockFile);
  if ((await runningDaemon(state)) !== undefined) {
    throw new WeftError(
      'WEFT2003',
      `the cluster "${name}" is already running; its kubeconfig is ${state.kubeconfig}`,
    );
  }

  const userMapping = await preflight(options.userMapping);
  onProgress(
    `Making ${topology.nodes.length} nodes in namespaces of their own (${describeMapping(userMapping)}).`,
  );
  await removeNodeFiles(state);
  await mkdir(state.nodes, { recursive: true, mode: 0o700 });

  const listener = await listenOnHost(port);
  const server = `https://127.0.0.1:${listener.port}`;
  const cluster: ClusterRecord = {
    name,
    port: listener.port,
    userMapping,
    topology,
    imageTable: join(state.root, 'images.json'),
    visiblePaths: [...new Set([state.root, workspaceRoot, process.execPath, ...images.paths])],
  };
  let daemon: DaemonRecord | undefined;
  try {
    const pki = await ensurePki(state.pki, topology);
    await writeJson(join(state.root, 'images.json'), images.table);
    await writeJson(state.clusterFile, cluster);
    await writeFile(
      state.kubeconfig,
      renderKubeconfig({
        clusterName: name,
        server,
        caPem: pki.caPem,
        clientCertPem: pki.admin.certPem,
        clientKeyPem: pki.admin.keyPem,
      }),
      { mode: 0o600 },
    );
    onProgress(`Starting the Kubernetes API on ${server}.`);
    daemon = await startDaemon(state, userMapping, listener);
    await writeJson(state.daemonFile, daemon);
  } finally {
    // This process's copy; the supervisor has its own.
    listener.server.close();
  }
  try {
    await untilNodesReady({
      kubeconfig: state.kubeconfig,
      since: new Date(daemon.startedAt),
      expected: topology.nodes.map((node) => node.name),
      timeoutMs: readyTimeoutMs,
      isAlive: () => isRunning(daemon),
      onProgress,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  } catch (error) {
    await stopDaemon(daemon);
    const said = await lastLine(state.log('supervisor'));
    throw new WeftError(
      'WEFT2005',
      `${describeError(error)}; last words in ${state.log('supervisor')}: ${said}`,
      {
        cause: error,
      },
    );
  }
  return {
    name,
    stateDir: state.root,
    kubeconfigPath: state.kubeconfig,
    server,
    userMapping,
    nodes: topology.nodes.map((node) => node.name),
    stop: (o = {}) => stopCluster({ ...o, name, stateDir: state.root }),
  };
}

/** Ends the cluster and removes its files. Resolves to false when there was nothing to stop or remove. */
export async function stopCluster(options: StopOptions = {}): Promise<boolean> {
  const { onProgress = () => undefined, keepData = false } = options;
  const { state } = locate(options);
  const cluster = await readJson<ClusterRecord>(state.clusterFile);
  const daemon = await readJson<DaemonRecord>(state.daemonFile);
  if (cluster === undefined && daemon === undefined) return false;
  if (daemon !== undefined) {
    if (await isRunning(daemon)) onProgress('Stopping every process of the cluster.');
    await stopDaemon(daemon);
    await rm(state.daemonFile, { force: true });
  }
  await removeNodeFiles(state);
  removeEmptyPodCgroups();
  if (!keepData) await rm(state.root, { recursive: true, force: true });
  return true;
}

export async function clusterStatus(options: ClusterName = {}): Promise<ClusterStatus> {
  const { name, state } = locate(options);
  const cluster = await readJson<ClusterRecord>(state.clusterFile);
  if (cluster === undefined) return { state: 'absent', name, stateDir: state.root };
  const daemon = await runningDaemon(state);
  if (daemon === undefined) return { state: 'stopped', name, stateDir: state.root };
  return {
    state: 'running',
    name: cluster.name,
    stateDir: state.root,
    kubeconfigPath: state.kubeconfig,
    server: `https://127.0.0.1:${cluster.port}`,
    userMapping: cluster.userMapping,
    startedAt: daemon.startedAt,
    nodes: await nodeReadiness(state.kubeconfig).catch(() => undefined),
  };
}

function locate(options: ClusterName): { name: string; state: StateDirectory } {
  const { name = 'default' } = options;
  if (!/^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$/.test(name)) {
    throw new WeftError('WEFT2009', `cluster name "${name}": lower-case letters, digits and "-", at most 40`);
  }
  return { name, state: new StateDirectory(options.stateDir ?? defaultStateDirectory(name)) };
}

async function runningDaemon(state: StateDirectory): Promise<DaemonRecord | undefined> {
  const daemon = await readJson<DaemonRecord>(state.daemonFile);
  return daemon !== undefined && (await isRunning(daemon)) ? daemon : undefined;
}

function describeMapping(mapping: UserMapping): string {
  switch (mapping) {
    case 'root':
      return 'as root';
    case 'single-user':
      return 'without root; every container runs as this user';
    case 'subordinate-ids':
      return 'without root, with subordinate user ids';
  }
}

/** Volumes that pods left with subordinate owners can only be removed from inside a user namespace. */
async function removeNodeFiles(state: StateDirectory): Promise<void> {
  try {
    await rm(state.nodes, { recursive: true, force: true });
  } catch {
    await run('unshare', [...unshareArguments('subordinate-ids'), 'rm', '-rf', state.nodes]);
  }
}

async function lastLine(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').at(-1) ?? '';
}
