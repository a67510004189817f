import { timestamp } from '@weft/kubernetes';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Clock } from '@weft/telemetry';
import type { PodEvent } from './api.ts';
import type { ContainerRun } from './container-setup.ts';
import { runInContainer } from './container-exec.ts';
import { ContainerLog } from './logs/container-log.ts';
import type { ContainerKind, ContainerPhase } from './pod-plan.ts';
import type { Container, ContainerState, ContainerStatus } from './pod.ts';
import { ContainerProbes } from './probes/container-probes.ts';
import { runHandler, type HandlerTarget } from './probes/handlers.ts';
import { RestartBackoff, type RestartBackoffOptions } from './restart-backoff.ts';
import { ContainerProcess } from './sandbox/container-process.ts';
import { startFailure } from './start-failure.ts';

export interface PodContainerOptions {
  readonly spec: Container;
  readonly kind: ContainerKind;
  readonly logDir: string;
  /** What the API server last knew of it, when an earlier kubelet ran it. */
  readonly before: ContainerStatus | undefined;
  readonly backoff: RestartBackoffOptions;
  /** The pod's grace period, for a container that is restarted. */
  readonly graceMs: number;
  readonly clock: Clock;
  readonly podIp: () => string;
  /** Something that the pod's plan or status depends on has changed. */
  readonly onChange: () => void;
  readonly onEvent: (event: PodEvent) => void;
}

const HOOK_TIMEOUT_MS = 60_000;
const MAX_TERMINATION_MESSAGE_BYTES = 4096;
/** What is left for SIGTERM when preStop has used up the grace period. */
const MIN_TERMINATION_MS = 2_000;

type Stage =
  | { readonly kind: 'waiting'; readonly reason: string; readonly message?: string }
  | {
      readonly kind: 'running';
      readonly process: ContainerProcess;
      readonly run: ContainerRun;
      readonly startedAtMs: number;
    }
  | { readonly kind: 'exited'; readonly exitCode: number };

/**
 * One container of a pod over all its runs:
 *
 *     waiting ──start──▶ running ──end──▶ exited ──start, after the back-off──▶ running …
 *        └─ can't be started: stays waiting, with the reason, until the next try
 */
export class PodContainer {
  readonly spec: Container;
  readonly kind: ContainerKind;
  log: ContainerLog | undefined;
  private readonly options: PodContainerOptions;
  private readonly backoff: RestartBackoff;
  private stage: Stage = { kind: 'waiting', reason: 'ContainerCreating' };
  private lastState: ContainerState = {};
  private terminated: ContainerState | undefined;
  private restartCount = 0;
  private hasRun = false;
  private containerId: string | undefined;
  private probes: ContainerProbes | undefined;
  private notBeforeMs = 0;
  private failedStarts = 0;
  private stopping: Promise<void> | undefined;

  constructor(options: PodContainerOptions) {
    this.options = options;
    this.spec = options.spec;
    this.kind = options.kind;
    this.backoff = new RestartBackoff(options.backoff);
    if (options.before !== undefined) this.takeOver(options.before);
  }

  get name(): string {
    return this.spec.name;
  }

  get running(): ContainerProcess | undefined {
    return this.stage.kind === 'running' ? this.stage.process : undefined;
  }

  /** For exec; undefined while it doesn't run. */
  get currentRun(): { readonly process: ContainerProcess; readonly run: ContainerRun } | undefined {
    return this.stage.kind === 'running' ? this.stage : undefined;
  }

  /** Before this time it must not be started. */
  get startableAtMs(): number {
    return this.notBeforeMs;
  }

  phase(): ContainerPhase {
    if (this.stage.kind === 'running') return { kind: 'running', started: this.probes?.started === true };
    if (this.stage.kind === 'exited') return { kind: 'exited', exitCode: this.stage.exitCode };
    // It ran and couldn't be started again: to the plan it is still what its last run made it.
    const last = this.lastState.terminated;
    return last === undefined ? { kind: 'created' } : { kind: 'exited', exitCode: last.exitCode };
  }

  status(): ContainerStatus {
    return {
      name: this.name,
      image: this.spec.image ?? '',
      imageID: this.hasRun ? (this.spec.image ?? '') : '',
      ...(this.containerId === undefined ? {} : { containerID: this.containerId }),
      ready:
        this.kind === 'init'
          ? this.stage.kind === 'exited' && this.stage.exitCode === 0
          : this.stage.kind === 'running' && this.probes?.ready === true,
      started: this.stage.kind === 'running' && this.probes?.started === true,
      restartCount: this.restartCount,
      state: this.state(),
      lastState: this.lastState,
    };
  }

  /** Shown while the container waits for others, or for its pod. */
  wait(reason: string, message?: string): void {
    if (this.stage.kind === 'waiting')
      this.stage = { kind: 'waiting', reason, ...(message === undefined ? {} : { message }) };
  }

  /** The back-off between two runs, as status shows it. */
  holdBack(podName: string): void {
    if (this.stage.kind === 'waiting' && this.stage.reason === 'ErrImagePull') {
      this.stage = { ...this.stage, reason: 'ImagePullBackOff' };
    }
    if (this.stage.kind !== 'exited') return;
    const seconds = Math.round(Math.max(0, this.notBeforeMs - this.options.clock.now()) / 1000);
    const message = `back-off ${seconds}s restarting failed container=${this.name} pod=${podName}`;
    this.lastState = this.terminated ?? this.lastState;
    this.stage = { kind: 'waiting', reason: 'CrashLoopBackOff', message };
    this.options.onEvent({
      ...this.about('Warning', 'BackOff'),
      message: `Back-off restarting failed container ${this.name}`,
    });
  }

  /** One try. A failure shows in the status, and the next try is put off. */
  async start(prepare: () => Promise<ContainerRun>): Promise<void> {
    const { clock, onEvent } = this.options;
    if (this.stage.kind === 'running') return;
    try {
      const run = await prepare();
      const { scriptPath, shortfall } = run.prepared;
      if (shortfall !== undefined)
        onEvent({ ...this.about('Warning', 'SecurityContextNotApplied'), message: shortfall });
      const process = await ContainerProcess.start({ ...run, scriptPath, stdin: this.spec.stdin === true });
      if (this.hasRun) this.restartCount++;
      this.lastState = this.terminated ?? this.lastState;
      this.terminated = undefined;
      this.hasRun = true;
      this.failedStarts = 0;
      this.containerId = `weft://${randomBytes(32).toString('hex')}`;
      this.stage = { kind: 'running', process, run, startedAtMs: clock.now() };
      this.follow(process, run);
      onEvent({ ...this.about('Normal', 'Started'), message: `Started container ${this.name}` });
    } catch (error) {
      this.startFailed(error);
    }
    this.options.onChange();
  }

  /** preStop, SIGTERM, and after the grace period SIGKILL. Resolves when it has ended. */
  stop(graceMs: number, why: string): Promise<void> {
    if (this.stage.kind !== 'running') return Promise.resolve();
    this.options.onEvent({ ...this.about('Normal', 'Killing'), message: why });
    this.stopping ??= this.endProcess(this.stage.process, graceMs).finally(() => {
      this.stopping = undefined;
    });
    return this.stopping;
  }

  kill(): void {
    this.running?.kill();
  }

  close(): void {
    this.probes?.stop();
    this.log?.close();
  }

  private takeOver(before: ContainerStatus): void {
    const { terminated, running } = before.state;
    this.restartCount = before.restartCount;
    this.lastState = before.lastState;
    this.containerId = before.containerID;
    this.hasRun =
      terminated !== undefined || running !== undefined || before.lastState.terminated !== undefined;
    if (terminated !== undefined) {
      this.terminated = before.state;
      this.stage = { kind: 'exited', exitCode: terminated.exitCode };
    } else if (running !== undefined) {
      // Containers end with the kubelet that started them.
      const finishedAt = timestamp(this.options.clock.now());
      const end = {
        exitCode: 137,
        reason: 'Error',
        message: 'The kubelet was restarted',
        startedAt: running.startedAt,
        finishedAt,
      };
      this.terminated = { terminated: end };
      this.stage = { kind: 'exited', exitCode: end.exitCode };
    }
  }

  private state(): ContainerState {
    switch (this.stage.kind) {
      case 'running':
        return { running: { startedAt: timestamp(this.stage.startedAtMs) } };
      case 'exited':
        return this.terminated ?? {};
      case 'waiting': {
        const { reason, message } = this.stage;
        return { waiting: message === undefined ? { reason } : { reason, message } };
      }
    }
  }

  private follow(process: ContainerProcess, run: ContainerRun): void {
    const log = new ContainerLog(`${this.options.logDir}/${this.name}/${this.restartCount}.log`);
    this.log?.close();
    this.log = log;
    void log.capture('stdout', process.stdout);
    void log.capture('stderr', process.stderr);
    void process.exited.then(
      ({ exitCode }) => this.ended(process, run, exitCode),
      () => this.ended(process, run, 128),
    );
    void this.postStart(process);
    this.startProbes(process);
  }

  private async ended(process: ContainerProcess, run: ContainerRun, exitCode: number): Promise<void> {
    this.probes?.stop();
    const { clock, onChange } = this.options;
    const { stage } = this;
    if (stage.kind !== 'running' || stage.process !== process) return;
    const message = await readFile(run.prepared.terminationLogPath, 'utf8').catch(() => '');
    const now = clock.now();
    this.terminated = {
      terminated: {
        exitCode,
        reason: exitCode === 0 ? 'Completed' : 'Error',
        ...(message === '' ? {} : { message: message.slice(-MAX_TERMINATION_MESSAGE_BYTES) }),
        startedAt: timestamp(stage.startedAtMs),
        finishedAt: timestamp(now),
        ...(this.containerId === undefined ? {} : { containerID: this.containerId }),
      },
    };
    this.stage = { kind: 'exited', exitCode };
    this.notBeforeMs = now + this.backoff.ended(now - stage.startedAtMs);
    onChange();
  }

  private startFailed(error: unknown): void {
    const { clock, backoff, onEvent } = this.options;
    const { reason, message, event, delayMs } = startFailure(error, this.failedStarts++, backoff);
    this.lastState = this.terminated ?? this.lastState;
    this.stage = { kind: 'waiting', reason, message };
    this.notBeforeMs = clock.now() + delayMs;
    onEvent({ ...this.about('Warning', event), message: `Error: ${reason}: ${message}` });
  }

  private async postStart(process: ContainerProcess): Promise<void> {
    const hook = this.spec.lifecycle?.postStart;
    if (hook === undefined) return;
    const outcome = await runHandler(hook, this.target(), HOOK_TIMEOUT_MS);
    if (outcome.ok || !process.running) return;
    this.options.onEvent({ ...this.about('Warning', 'FailedPostStartHook'), message: outcome.message });
    process.kill();
  }

  private async endProcess(process: ContainerProcess, graceMs: number): Promise<void> {
    const { clock, onEvent } = this.options;
    const deadline = clock.now() + graceMs;
    const hook = this.spec.lifecycle?.preStop;
    if (hook !== undefined && graceMs > 0) {
      const outcome = await runHandler(hook, this.target(), graceMs);
      if (!outcome.ok) onEvent({ ...this.about('Warning', 'FailedPreStopHook'), message: outcome.message });
    }
    process.terminate();
    const ended = process.exited.then(
      () => undefined,
      () => undefined,
    );
    const leftMs = graceMs === 0 ? 0 : Math.max(MIN_TERMINATION_MS, deadline - clock.now());
    const waiting = new AbortController();
    await Promise.race([ended, clock.sleep(leftMs, waiting.signal)]);
    waiting.abort();
    process.kill();
    await ended;
  }

  private target(): HandlerTarget {
    return {
      podIp: this.options.podIp(),
      container: this.spec,
      exec: async (command, signal) => {
        const current = this.currentRun;
        if (current === undefined) return { exitCode: 1, output: 'container is not running' };
        return runInContainer(current.process, current.run, command, signal);
      },
    };
  }

  private startProbes(process: ContainerProcess): void {
    const { clock, onChange, onEvent, graceMs } = this.options;
    this.probes = new ContainerProbes({
      spec: this.spec,
      clock,
      onChange,
      attempt: (probe, timeoutMs) => runHandler(probe, this.target(), timeoutMs),
      onFailure: (message) => {
        if (process.running) onEvent({ ...this.about('Warning', 'Unhealthy'), message });
      },
      onUnhealthy: (kind, message, { terminationGracePeriodSeconds }) => {
        const ownGraceMs =
          terminationGracePeriodSeconds === undefined ? graceMs : terminationGracePeriodSeconds * 1000;
        void this.stop(
          ownGraceMs,
          `Container ${this.name} failed ${kind} probe, will be restarted: ${message}`,
        );
      },
    });
  }

  private about(type: 'Normal' | 'Warning', reason: string): Omit<PodEvent, 'message'> {
    return { type, reason, container: this.name };
  }
}
