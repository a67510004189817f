import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemErrorCode, WeftError } from '@weft/telemetry';
import { systemEnvironment } from './commands.ts';
import { childPidNamespace, processesIn, processStartTime, unshareArguments } from './namespaces.ts';
import type { DaemonRecord, StateDirectory, UserMapping } from './state-directory.ts';

const clusterInit = fileURLToPath(new URL('../../scripts/cluster-init.sh', import.meta.url));
const supervisorMain = fileURLToPath(new URL('./main.js', import.meta.url));

const POLL_MS = 20;
/** For PID 1 to appear after the start. */
const NAMESPACE_TIMEOUT_MS = 5_000;
/** For the API server to write out its log after SIGTERM; then the namespace is killed. */
export const GRACEFUL_STOP_MS = 6_000;
const KILL_TIMEOUT_MS = 10_000;

/**
 * The API's listener in the machine's network namespace. A socket keeps the namespace it was made in, so the API
 * server inside the cluster's namespace serves it as an inherited descriptor: no proxy, no port mapping.
 */
export interface HostListener {
  readonly port: number;
  readonly server: Server;
}

/** @throws WEFT2007 when the port is taken, or not for this user */
export async function listenOnHost(port: number): Promise<HostListener> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const why = { EADDRINUSE: 'is taken', EACCES: 'is not for this user' }[systemErrorCode(error) ?? ''];
      reject(
        why === undefined ? error : new WeftError('WEFT2007', `127.0.0.1:${port} ${why}`, { cause: error }),
      );
    });
    server.listen({ host: '127.0.0.1', port }, resolve);
  });
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? address.port : port };
}

/** Starts the supervisor in namespaces of its own, detached from this process and its terminal. */
export async function startDaemon(
  state: StateDirectory,
  mapping: UserMapping,
  listener: HostListener,
): Promise<DaemonRecord> {
  const log = openSync(state.log('supervisor'), 'a', 0o600);
  const child = spawn(
    'unshare',
    [
      ...unshareArguments(mapping),
      'bash',
      clusterInit,
      process.execPath,
      '--enable-source-maps',
      supervisorMain,
      state.root,
    ],
    {
      cwd: '/',
      detached: true,
      env: systemEnvironment(),
      stdio: ['ignore', log, log, listenerDescriptor(listener.server)],
    },
  );
  closeSync(log);
  child.unref();
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => resolve(child.pid ?? -1));
  });
  for (let waitedMs = 0; waitedMs < NAMESPACE_TIMEOUT_MS; waitedMs += POLL_MS) {
    const [startTime, own, children] = await Promise.all([
      processStartTime(pid),
      childPidNamespace(process.pid),
      childPidNamespace(pid),
    ]);
    if (startTime === undefined) break;
    if (children !== undefined && children !== own) {
      return { pid, startTime, pidNamespace: children, startedAt: new Date().toISOString() };
    }
    await sleep(POLL_MS);
  }
  throw new WeftError('WEFT2005', `the supervisor ended at once; see ${state.log('supervisor')}`);
}

export async function isRunning(daemon: DaemonRecord): Promise<boolean> {
  return (await processStartTime(daemon.pid)) === daemon.startTime;
}

/**
 * Ends the cluster: SIGTERM for its PID 1, later SIGKILL for the whole PID namespace.
 * @throws WEFT2008 when a process outlives even that
 */
export async function stopDaemon(daemon: DaemonRecord): Promise<void> {
  const { init } = await processesIn(daemon.pidNamespace);
  if (init !== undefined) signal(init, 'SIGTERM');
  if (await untilGone(daemon, GRACEFUL_STOP_MS)) return;
  // --kill-child makes the kernel end PID 1 with unshare, and all others with PID 1.
  if (await isRunning(daemon)) signal(daemon.pid, 'SIGKILL');
  const left = await processesIn(daemon.pidNamespace);
  if (left.init !== undefined) signal(left.init, 'SIGKILL');
  if (await untilGone(daemon, KILL_TIMEOUT_MS)) return;
  throw new WeftError('WEFT2008', `process ${left.init ?? daemon.pid} does not end`);
}

async function untilGone(daemon: DaemonRecord, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const [running, { pids }] = await Promise.all([isRunning(daemon), processesIn(daemon.pidNamespace)]);
    if (!running && pids.length === 0) return true;
    if (Date.now() >= deadline) return false;
    await sleep(POLL_MS);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (systemErrorCode(error) !== 'ESRCH') throw error;
  }
}

function listenerDescriptor(server: Server): number {
  // Node has no public way to the descriptor of a listening socket; `_handle.fd` has been there since 0.x.
  const { _handle: handle } = server as Server & { readonly _handle?: { readonly fd?: number } };
  if (handle?.fd === undefined || handle.fd < 0) throw new TypeError('the listener has no descriptor');
  return handle.fd;
}
