import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, type Logger } from '@weft/telemetry';
import { runIp } from './commands.ts';
import { Node } from './node.ts';
import type { ProcessPlans } from './process-plans.ts';
import { RotatingLog } from './rotating-log.ts';
import type { ClusterRecord, StateDirectory } from './state-directory.ts';
import { nextRestartDelayMs, SupervisedProcess, type ProcessPlan } from './supervised-process.ts';
import { lanCommands, type NodePlan } from './topology.ts';

/**
 * Raises the cluster inside its namespaces and keeps every part of it running:
 *
 *     LAN ── bridge, API server (host listener as an inherited descriptor), controllers + DNS
 *      ├─ node-1 ── kubelet, service proxy
 *      └─ node-2 ── kubelet, service proxy
 */
export class Supervisor {
  private readonly state: StateDirectory;
  private readonly cluster: ClusterRecord;
  private readonly plans: ProcessPlans;
  private readonly logger: Logger;
  private readonly logs = new Map<string, RotatingLog>();
  private readonly processes: SupervisedProcess[] = [];
  private stopping = false;

  constructor(state: StateDirectory, cluster: ClusterRecord, plans: ProcessPlans, logger: Logger) {
    this.state = state;
    this.cluster = cluster;
    this.plans = plans;
    this.logger = logger;
  }

  /** Resolves when the LAN is up and every process was started once. */
  async start(): Promise<void> {
    const { topology } = this.cluster;
    await runIp(lanCommands(topology));
    this.supervise(this.plans.apiServer);
    const nodes = Promise.all(topology.nodes.map((plan) => this.raise(plan)));
    this.supervise(this.plans.controllers);
    await nodes;
  }

  /** The API server goes last and gracefully: its log must be whole. Nodes are simply cut off. */
  async stop(): Promise<void> {
    this.stopping = true;
    const [apiServer, ...others] = this.processes;
    await Promise.all(others.map((process) => process.stop()));
    await apiServer?.stop();
    for (const log of this.logs.values()) log.close();
  }

  private supervise(plan: ProcessPlan): SupervisedProcess {
    const process = new SupervisedProcess(plan, this.log(plan.name), this.logger);
    this.processes.push(process);
    process.start();
    return process;
  }

  private async raise(plan: NodePlan): Promise<void> {
    const node = await Node.create({
      topology: this.cluster.topology,
      plan,
      directory: this.state.node(plan.name),
      visiblePaths: this.cluster.visiblePaths,
      onStderr: (chunk) => this.log(plan.name).write(chunk),
    });
    const processes = this.plans.onNode(plan).map(({ command, args, ...rest }) => {
      const [entered = 'nsenter', ...enteredArgs] = node.enter([command, ...args]);
      return this.supervise({ ...rest, command: entered, args: enteredArgs });
    });
    void node.gone.then(() => this.replace(plan, processes));
  }

  /** A node that lost its PID 1 comes back as after a power cut: same files, new namespaces. */
  private async replace(plan: NodePlan, processes: readonly SupervisedProcess[]): Promise<void> {
    if (this.stopping) return;
    this.logger.warn('node is gone; raising it again', { node: plan.name });
    await Promise.all(processes.map((process) => process.stop()));
    for (const process of processes) this.processes.splice(this.processes.indexOf(process), 1);
    for (let delayMs = 0; !this.stopping; ) {
      try {
        return await this.raise(plan);
      } catch (error) {
        delayMs = nextRestartDelayMs(delayMs, 0);
        this.logger.error('node does not come back', {
          node: plan.name,
          error: describeError(error),
          delayMs,
        });
        await sleep(delayMs);
      }
    }
  }

  private log(name: string): RotatingLog {
    let log = this.logs.get(name);
    if (log === undefined) {
      log = new RotatingLog(this.state.log(name));
      this.logs.set(name, log);
    }
    return log;
  }
}
