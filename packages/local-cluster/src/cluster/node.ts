import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { WeftError } from '@weft/telemetry';
import { run, runIp, systemEnvironment } from './commands.ts';
import { unshareArguments } from './namespaces.ts';
import {
  nodeInterfaceCommands,
  nodeLinkCommands,
  nodeSysctls,
  type NodePlan,
  type Topology,
} from './topology.ts';

const nodeInit = fileURLToPath(new URL('../../scripts/node-init.sh', import.meta.url));

export interface NodeOptions {
  readonly topology: Topology;
  readonly plan: NodePlan;
  readonly directory: string;
  readonly visiblePaths: readonly string[];
  readonly onStderr: (chunk: Buffer) => void;
}

/**
 * The namespaces of one node: network, mount, UTS and PID, joined to the cluster's bridge. They live as long as
 * the node's PID 1; killing that is pulling the node's plug.
 */
export class Node {
  readonly name: string;
  /** Resolves when PID 1 of the node is gone, and everything of the node with it. */
  readonly gone: Promise<void>;
  private readonly holder: ChildProcess;

  private constructor(name: string, holder: ChildProcess) {
    this.name = name;
    this.holder = holder;
    this.gone = new Promise((resolve) => holder.once('exit', () => resolve()));
  }

  /** @throws WEFT2004 when the namespaces can't be made; nothing is left then */
  static async create(options: NodeOptions): Promise<Node> {
    const { topology, plan, directory, visiblePaths, onStderr } = options;
    const holder = spawn(
      'unshare',
      [...unshareArguments('root', ['--uts']), 'bash', nodeInit, plan.name, directory, ...visiblePaths],
      { stdio: ['ignore', 'pipe', 'pipe'], env: systemEnvironment() },
    );
    holder.stderr.on('data', onStderr);
    const node = new Node(plan.name, holder);
    try {
      await untilReady(plan.name, holder);
      await runIp(nodeLinkCommands(topology, plan, node.pid));
      await runIp(nodeInterfaceCommands(topology, plan), `/proc/${node.pid}/ns/net`);
      await run('nsenter', [`--net=/proc/${node.pid}/ns/net`, 'sh', '-c', sysctlScript()]);
      return node;
    } catch (error) {
      node.kill();
      throw error;
    }
  }

  /** In the PID namespace of the supervisor. */
  get pid(): number {
    // 0 would name the caller's own namespaces; -1 names nothing.
    return this.holder.pid ?? -1;
  }

  /**
   * Prefixes a command so that it runs in the node. `nsenter` has to fork to enter a PID namespace and forwards
   * no signal, hence the parent-death signal: ending `nsenter` ends the command.
   */
  enter(command: readonly string[]): readonly string[] {
    const ns = `/proc/${this.pid}/ns`;
    return [
      'nsenter',
      `--net=${ns}/net`,
      `--mount=${ns}/mnt`,
      `--uts=${ns}/uts`,
      `--pid=${ns}/pid_for_children`,
      '--',
      ...'setpriv --pdeathsig TERM --'.split(' '),
      ...command,
    ];
  }

  kill(): void {
    // unshare passes its own death on to the node's PID 1 (--kill-child).
    this.holder.kill('SIGKILL');
  }
}

async function untilReady(name: string, holder: ChildProcess): Promise<void> {
  if (holder.stdout === null) throw new WeftError('WEFT2004', `node ${name}: no output to wait for`);
  const lines = createInterface({ input: holder.stdout });
  await new Promise<void>((resolve, reject) => {
    lines.once('line', () => resolve());
    holder.once('error', (error) => reject(new WeftError('WEFT2004', `node ${name}`, { cause: error })));
    holder.once('exit', (code) =>
      reject(
        new WeftError('WEFT2004', `node ${name} ended with ${code ?? 'a signal'} while it was being made`),
      ),
    );
  });
  lines.close();
}

function sysctlScript(): string {
  // A setting may be missing (no IPv6, conntrack not loaded yet); none is worth a cluster that doesn't start.
  return Object.entries(nodeSysctls)
    .map(([name, value]) => `echo ${value} >/proc/sys/${name} || true`)
    .join('\n');
}
