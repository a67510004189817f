import { timestamp } from '@weft/kubernetes';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Backoff, describeError, type Clock, type Logger } from '@weft/telemetry';
import type { KubeletApi, PodEvent } from './api.ts';
import { prepareContainer, type ContainerRun, type ContainerSetupOptions } from './container-setup.ts';
import type { DownwardContext } from './downward.ts';
import { PodContainer } from './pod-container.ts';
import { orderedContainers, planPod } from './pod-plan.ts';
import { PodSandbox, type SandboxOptions } from './pod-sandbox.ts';
import { podStatus, type PodObservation } from './pod-status.ts';
import type { Pod, PodStatus } from './pod.ts';
import type { RestartBackoffOptions } from './restart-backoff.ts';
import { isFinal, StatusReporter } from './status-reporter.ts';
import { PodVolumes } from './volumes/volume-manager.ts';

export interface PodWorkerOptions {
  readonly api: KubeletApi;
  readonly setup: ContainerSetupOptions;
  readonly sandbox: SandboxOptions;
  readonly downward: Omit<DownwardContext, 'podIps'>;
  readonly restartBackoff: RestartBackoffOptions;
  /** Parents of the pod's own directory of each. */
  readonly podsDir: string;
  readonly logsDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The pod has ended and everything of it is gone. */
  readonly onRemoved: () => void;
}

/** How often files from ConfigMaps, Secrets and tokens are renewed. */
const VOLUME_REFRESH_MS = 20_000;
/** Between tries of what should have worked. */
const RETRY = { initialMs: 500, maxMs: 10_000 };
/** For a pod that is no longer in the API: nobody waits for it. */
const FORGOTTEN_GRACE_MS = 1_000;

type Stage = 'setting-up' | 'active' | 'finished' | 'removed';

/**
 * One pod on this node, from its binding to its end:
 *
 *     setting-up ──volumes and sandbox──▶ active ──all done for good──▶ finished
 *         │                                 │                             │
 *         └──────────── deleted ────────────┴─────────────────────────────┴──▶ removed
 *
 * A single loop looks at the present state, does the next thing, and waits to be woken; losing or repeating an event
 * changes nothing.
 */
export class PodWorker {
  readonly containers: readonly PodContainer[];
  readonly logDir: string;
  private pod: Pod;
  private readonly options: PodWorkerOptions;
  private readonly directory: string;
  private readonly sandbox: PodSandbox;
  private readonly volumes: PodVolumes;
  private readonly retry = new Backoff(RETRY);
  private stage: Stage;
  private forgotten = false;
  private verdict: PodObservation['verdict'];
  private stoppedForGood = false;
  private released = false;
  private refreshedAtMs = 0;
  private readonly startTime: string;
  private wakeUp: (() => void) | undefined;
  private woken = false;
  private readonly reporter: StatusReporter;
  private closed = false;
  /** Resolves when the loop has ended. */
  readonly done: Promise<void>;

  constructor(pod: Pod, options: PodWorkerOptions) {
    this.pod = pod;
    this.options = options;
    const { namespace, name, uid } = pod.metadata;
    const { podsDir, logsDir, api, clock } = options;
    this.directory = join(podsDir, uid);
    this.logDir = join(logsDir, `${namespace}_${name}_${uid}`);
    this.sandbox = new PodSandbox(this.directory, options.sandbox);
    this.volumes = new PodVolumes(this.directory, api, clock);
    this.startTime = pod.status?.startTime ?? timestamp(clock.now());
    const known = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
    this.containers = orderedContainers(pod).map(
      ({ spec, kind }) =>
        new PodContainer({
          spec,
          kind,
          clock,
          logDir: this.logDir,
          backoff: options.restartBackoff,
          before: known.find((status) => status.name === spec.name),
          graceMs: (pod.spec.terminationGracePeriodSeconds ?? 30) * 1000,
          podIp: () => this.sandbox.podIps[0] ?? '',
          onChange: () => this.wake(),
          onEvent: (event) => this.event(event),
        }),
    );
    const ended = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
    this.stage = ended ? 'finished' : 'setting-up';
    this.reporter = new StatusReporter({
      initial: ended ? pod.status : undefined,
      current: (last) => this.status(last),
      write: (status) => api.patchStatus(this.pod, status),
      podKey: this.key,
      clock,
      logger: options.logger,
    });
    this.done = this.run();
  }

  get current(): Pod {
    return this.pod;
  }

  get netns(): string | undefined {
    return this.sandbox.netns;
  }

  update(pod: Pod): void {
    this.pod = pod;
    this.wake();
  }

  /** The pod is no longer in the API. */
  forget(): void {
    this.forgotten = true;
    this.wake();
    this.options.clock.schedule(FORGOTTEN_GRACE_MS, () => this.kill());
  }

  /** Ends the loop and kills the containers; network and volumes stay for the next kubelet. */
  async close(): Promise<void> {
    this.closed = true;
    this.kill();
    this.wake();
    await this.done;
    for (const container of this.containers) container.close();
  }

  private kill(): void {
    for (const container of this.containers) container.kill();
  }

  private wake(): void {
    this.woken = true;
    this.wakeUp?.();
    this.reporter.report();
  }

  private async run(): Promise<void> {
    while (this.stage !== 'removed' && !this.closed) {
      this.woken = false;
      let delayMs: number;
      try {
        delayMs = await this.step();
      } catch (error) {
        this.options.logger.warn('pod step failed, trying again', {
          pod: this.key,
          error: describeError(error),
        });
        delayMs = this.retry.next();
      }
      this.reporter.report();
      if (!this.woken && !this.closed && this.currentStage() !== 'removed') await this.pause(delayMs);
    }
  }

  // The loop's condition would otherwise be narrowed to what it was before `step`.
  private currentStage(): Stage {
    return this.stage;
  }

  private pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        this.wakeUp = undefined;
        resolve();
      };
      const cancel = this.options.clock.schedule(delayMs, done);
      this.wakeUp = done;
    });
  }

  private get key(): string {
    return `${this.pod.metadata.namespace}/${this.pod.metadata.name}`;
  }

  /** Does the next thing. Returns how long to wait if nothing happens. */
  private async step(): Promise<number> {
    if (this.forgotten || this.pod.metadata.deletionTimestamp !== undefined) {
      await this.remove();
      return 0;
    }
    if (this.stage === 'finished') {
      await this.release();
      return VOLUME_REFRESH_MS;
    }
    if (this.stage === 'setting-up' && !(await this.setUp())) return this.retry.next();
    this.stage = 'active';
    this.retry.reset();
    if (this.deadlineExceeded()) {
      this.verdict = {
        phase: 'Failed',
        reason: 'DeadlineExceeded',
        message: 'Pod was active on the node longer than the specified deadline',
      };
      await this.stopAll(this.graceMs());
      this.stage = 'finished';
      return 0;
    }
    await this.refreshVolumes();
    return this.act();
  }

  private async act(): Promise<number> {
    const { clock } = this.options;
    const plan = planPod(
      this.pod.spec.restartPolicy ?? 'Always',
      this.containers.map((container) => ({
        name: container.name,
        kind: container.kind,
        phase: container.phase(),
      })),
    );
    if (plan.finished) {
      this.stoppedForGood = true;
      this.stage = 'finished';
      return 0;
    }
    if (plan.stop !== undefined) {
      await this.container(plan.stop)?.stop(this.graceMs(), `Stopping container ${plan.stop}`);
      return 0;
    }
    const now = clock.now();
    const due: PodContainer[] = [];
    let waitMs = VOLUME_REFRESH_MS;
    for (const name of plan.start) {
      const container = this.container(name);
      if (container === undefined) continue;
      if (container.startableAtMs <= now) due.push(container);
      else {
        container.holdBack(
          `${this.pod.metadata.name}_${this.pod.metadata.namespace}(${this.pod.metadata.uid})`,
        );
        waitMs = Math.min(waitMs, container.startableAtMs - now);
      }
    }
    for (const container of this.containers) {
      if (!plan.start.includes(container.name) && container.phase().kind === 'created')
        container.wait('PodInitializing');
    }
    await Promise.all(due.map((container) => container.start(() => this.prepare(container))));
    return due.length > 0 ? 0 : waitMs;
  }

  private async setUp(): Promise<boolean> {
    if (!(await this.attempt('FailedMount', () => this.volumes.setUp(this.pod, this.downward()))))
      return false;
    if (!(await this.attempt('FailedCreatePodSandBox', () => this.sandbox.ensure(this.pod)))) return false;
    // Now that the pod has its address, files that show it can be right.
    if (!(await this.attempt('FailedMount', () => this.volumes.refresh(this.pod, this.downward()))))
      return false;
    this.refreshedAtMs = this.options.clock.now();
    return true;
  }

  private async attempt(reason: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.event({ type: 'Warning', reason, message: describeError(error) });
      this.options.logger.warn('pod set-up failed, trying again', {
        pod: this.key,
        reason,
        error: describeError(error),
      });
      return false;
    }
  }

  private async prepare(container: PodContainer): Promise<ContainerRun> {
    const { spec } = this.pod;
    const directory = join(this.directory, 'containers', container.name);
    const parts = { sandbox: this.sandbox, volumes: this.volumes, downward: this.downward() };
    return {
      prepared: await prepareContainer(this.options.setup, this.pod, container.spec, directory, parts),
      netns: this.sandbox.netns,
      hostPid: spec.hostPID === true,
      hostUts: spec.hostNetwork === true,
      cgroupJoinFile: this.options.sandbox.cgroups.joinFile(this.pod.metadata.uid),
    };
  }

  private async refreshVolumes(): Promise<void> {
    const now = this.options.clock.now();
    if (now - this.refreshedAtMs < VOLUME_REFRESH_MS) return;
    this.refreshedAtMs = now;
    await this.attempt('FailedMount', () => this.volumes.refresh(this.pod, this.downward()));
  }

  private async remove(): Promise<void> {
    await this.stopAll(this.forgotten ? FORGOTTEN_GRACE_MS : this.graceMs());
    await this.release();
    this.stoppedForGood = true;
    if (!this.forgotten) {
      await this.reporter.settle();
      await this.options.api.removePod(this.pod);
    }
    for (const container of this.containers) container.close();
    await rm(this.directory, { recursive: true, force: true });
    await rm(this.logDir, { recursive: true, force: true });
    this.stage = 'removed';
    this.options.onRemoved();
  }

  /** Main containers together, then sidecars, last one first. */
  private async stopAll(graceMs: number): Promise<void> {
    const deadline = this.options.clock.now() + graceMs;
    const stop = (container: PodContainer): Promise<void> =>
      container.stop(
        Math.max(0, deadline - this.options.clock.now()),
        `Stopping container ${container.name}`,
      );
    await Promise.all(this.containers.filter(({ kind }) => kind !== 'sidecar').map(stop));
    for (const sidecar of this.containers.filter(({ kind }) => kind === 'sidecar').toReversed())
      await stop(sidecar);
    this.stoppedForGood = true;
  }

  /** Gives back network and volumes. */
  private async release(): Promise<void> {
    if (this.released) return;
    await this.sandbox.remove(this.pod);
    await this.volumes.tearDown();
    this.released = true;
  }

  private graceMs(): number {
    const { metadata, spec } = this.pod;
    return (metadata.deletionGracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30) * 1000;
  }

  private deadlineExceeded(): boolean {
    const { activeDeadlineSeconds } = this.pod.spec;
    if (activeDeadlineSeconds === undefined) return false;
    return this.options.clock.now() - Date.parse(this.startTime) > activeDeadlineSeconds * 1000;
  }

  private container(name: string): PodContainer | undefined {
    return this.containers.find((container) => container.name === name);
  }

  private downward(): DownwardContext {
    return { ...this.options.downward, podIps: this.sandbox.podIps };
  }

  private event(event: PodEvent): void {
    this.options.api.recordEvent(this.pod, event);
  }

  /** The status to report; undefined once nobody is interested. */
  private status(last: PodStatus | undefined): PodStatus | undefined {
    if (this.forgotten || this.closed || this.stage === 'removed') return undefined;
    if (this.stage === 'finished' && last !== undefined && isFinal(last)) return last;
    const known = last?.conditions ?? this.pod.status?.conditions ?? [];
    return podStatus(this.pod, this.observe(last), known, timestamp(this.options.clock.now()));
  }

  private observe(last: PodStatus | undefined): PodObservation {
    const podIps = this.sandbox.podIps;
    return {
      containers: this.containers.map((container) => ({ kind: container.kind, status: container.status() })),
      // The address of a pod that has ended stays in its status.
      podIps: podIps.length > 0 ? podIps : (last?.podIPs ?? []).map(({ ip }) => ip),
      hostIp: this.options.downward.hostIp,
      startTime: this.startTime,
      sandboxReady: this.sandbox.ready,
      stoppedForGood: this.stoppedForGood,
      verdict: this.verdict,
    };
  }
}
