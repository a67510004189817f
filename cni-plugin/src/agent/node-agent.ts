import { Annotation, Redirection } from '@weft/api';
import type { Namespace, Pod } from '@weft/kubernetes';
import type { NetworkNamespace } from '@weft/linux';
import { WeftError, describeError, systemClock, type Clock, type Logger } from '@weft/telemetry';
import type { PodRuleOptions } from '../rules/pod-rules.ts';
import { decideEnrolment, isFinished, ruleOptions, type EnrolmentPolicy } from './enrolment.ts';
import {
  addressesOf,
  isAnnotated,
  isRunning,
  podTitle,
  type EnrolledPod,
  type ExpectedPod,
} from './enrolled-pod.ts';
import type { NodeEffects } from './node-effects.ts';
import { PodEnrolment } from './pod-enrolment.ts';
import { StepQueue } from './step-queue.ts';
import type { SnapshotEntry } from './zds-server.ts';

export interface NodeAgentOptions {
  readonly policy: EnrolmentPolicy;
  readonly effects: NodeEffects;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Whether DNS is redirected where a pod's annotation says nothing. */
  readonly dnsCapture?: boolean;
  /** Peers learn from the control plane that a pod is no longer in the mesh; until then it must still answer them. */
  readonly unenrolDelayMs?: number;
  /** Whether the rules of pods that an earlier agent enrolled are compared with the kernel and repaired. */
  readonly repairRules?: boolean;
  readonly onReconcile?: (type: 'add' | 'remove' | 'update' | 'error') => void;
  readonly onError?: (error: unknown) => void;
}

const DEFAULT_UNENROL_DELAY_MS = 2_000;
/** The watch shows a pod within moments; one that it has not shown after this is asked for. */
const UNSEEN_MS = 60_000;

/**
 * Keeps the node's pods in the state that their labels ask for. Level-triggered: every event only names a pod, and
 * `reconcile` compares what is wanted with what is. One step at a time for each pod.
 *
 *     absent ──enrol──▶ pending ──ztunnel acknowledged, rules in force──▶ added ──annotated `enabled`
 *        ▲                 │ retried with back-off                          │
 *        └─────────────────┴──────────── unenrol or pod gone ◀──────────────┘
 *
 * ztunnel listens before traffic is redirected to it, and the pod is told to be in the mesh (the annotation that the
 * control plane reads) only after both; leaving goes the other way round. So no connection meets a closed port.
 */
export class NodeAgent {
  private readonly options: NodeAgentOptions;
  private readonly clock: Clock;
  private readonly pods = new Map<string, Pod>();
  private readonly namespaces = new Map<string, Namespace>();
  private readonly enrolled = new Map<string, EnrolledPod>();
  private readonly steps: StepQueue;
  private readonly enrolment: PodEnrolment;
  /** Why the last step of a pod failed. */
  private readonly failures = new Map<string, string>();

  constructor(options: NodeAgentOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.enrolment = new PodEnrolment({
      effects: options.effects,
      logger: options.logger,
      clock: this.clock,
      unenrolDelayMs: options.unenrolDelayMs ?? DEFAULT_UNENROL_DELAY_MS,
      onReconcile: options.onReconcile,
      ruleOptions: (pod) => this.ruleOptions(pod),
      stillWanted: (uid) => {
        const latest = this.pods.get(uid);
        return latest !== undefined && this.isWanted(latest) ? latest : undefined;
      },
      onReleased: (enrolled) => this.forget(enrolled),
    });
    this.steps = new StepQueue(this.clock, (uid, error, delayMs) => this.onFailure(uid, error, delayMs));
  }

  podChanged(uid: string, pod: Pod | undefined): Promise<void> {
    if (pod === undefined) this.pods.delete(uid);
    else this.pods.set(uid, pod);
    return this.reconcileSoon(uid);
  }

  async namespaceChanged(name: string, namespace: Namespace | undefined): Promise<void> {
    if (namespace === undefined) this.namespaces.delete(name);
    else this.namespaces.set(name, namespace);
    const affected = [...this.pods].filter(([, pod]) => pod.metadata.namespace === name);
    await Promise.all(affected.map(([uid]) => this.reconcileSoon(uid)));
  }

  /**
   * A pod that is being made: its namespace exists, its containers don't. Resolves when its traffic is redirected;
   * a failure must keep it from starting, so it is thrown and nothing of it stays.
   */
  async enrolNewPod(
    pod: Pod,
    namespace: Namespace | undefined,
    netns: NetworkNamespace,
    addresses: readonly string[],
  ): Promise<'enrolled' | 'left'> {
    const uid = pod.metadata.uid ?? '';
    if (decideEnrolment(this.options.policy, pod, namespace).kind !== 'enrol') {
      netns.close();
      return 'left';
    }
    await this.steps.once(uid, async () => {
      const former = this.enrolled.get(uid);
      if (former !== undefined) this.forget(former);
      const enrolled = this.hold(pod, netns, addresses);
      try {
        await this.enrolment.enter(pod, enrolled);
      } catch (error) {
        this.options.effects.disallowProbes(uid, addresses);
        await this.options.effects.removeFromZtunnel(uid);
        this.forget(enrolled);
        throw error;
      }
    });
    return 'enrolled';
  }

  /** What a ztunnel that connects is told. Pods that were enrolled but aren't found are kept by it. */
  snapshot(): readonly SnapshotEntry[] {
    const entries: SnapshotEntry[] = [...this.enrolled.values()].map((pod) => ({ kind: 'add', pod }));
    for (const [uid, pod] of this.pods) {
      if (this.enrolled.has(uid) || isFinished(pod) || !this.isWanted(pod)) continue;
      if (isAnnotated(pod)) entries.push({ kind: 'keep', uid });
    }
    return entries;
  }

  /** The outcome of a pod of the snapshot. */
  snapshotResult(uid: string, error: WeftError | undefined): void {
    const enrolled = this.enrolled.get(uid);
    if (enrolled === undefined) return;
    if (error !== undefined) {
      this.options.logger.warn('ztunnel did not take a pod of the snapshot', {
        uid,
        error: describeError(error),
      });
      enrolled.state = 'pending';
    }
    if (enrolled.state === 'pending') void this.reconcileSoon(uid);
  }

  /** A ztunnel is there: whoever waits for one, and for the end of its back-off, need not. */
  retryPending(): void {
    for (const { pod, enrolled } of this.expected)
      if (enrolled?.state !== 'added') void this.reconcileSoon(pod.metadata.uid ?? '');
  }

  /** Pods that run and are to be redirected, whether or not they are. */
  get expected(): readonly ExpectedPod[] {
    return [...this.pods]
      .filter(([, pod]) => isRunning(pod) && this.isWanted(pod))
      .map(([uid, pod]) => ({
        uid,
        pod,
        enrolled: this.enrolled.get(uid),
        rules: this.ruleOptions(pod),
        failure: this.failures.get(uid),
      }));
  }

  /** Pods that are wanted but not fully redirected now. */
  get pending(): readonly string[] {
    return this.expected.filter((p) => p.enrolled?.state !== 'added').map((p) => podTitle(p.pod));
  }

  /** Addresses of the pods that belong into the mesh, whether or not they are in it yet, or are seen by the watch. */
  get wantedAddresses(): readonly string[] {
    const seen = [...this.pods.values()].filter((pod) => this.isWanted(pod) && !isFinished(pod));
    const unseen = [...this.enrolled.values()].filter(({ uid }) => !this.pods.has(uid));
    return [...seen.flatMap(addressesOf), ...unseen.flatMap(({ addresses }) => addresses)];
  }

  get enrolledCount(): number {
    return this.enrolled.size;
  }

  /**
   * Mends what the audit found. `rules`: they differ. `ztunnel`: it does not serve the pod though it said so.
   * `namespace`: the pod has another one now, since its sandbox was made anew past us.
   */
  repair(uid: string, what: 'rules' | 'ztunnel' | 'namespace'): Promise<void> {
    return this.steps.untilDone(uid, async () => {
      const pod = this.pods.get(uid);
      const enrolled = this.enrolled.get(uid);
      if (pod !== undefined && enrolled?.state === 'added' && this.isWanted(pod)) {
        if (what === 'rules') this.options.effects.reconcileRules(enrolled.netns, this.ruleOptions(pod));
        if (what === 'ztunnel') {
          await this.options.effects.removeFromZtunnel(uid);
          enrolled.state = 'pending';
        }
        if (what === 'namespace') this.forget(enrolled);
      }
      await this.reconcile(uid);
    });
  }

  /** Puts back what is missing among the addresses that the node's probes may reach (`allowed`). */
  allowProbesAgain(allowed: ReadonlySet<string>): void {
    for (const { uid, addresses, state } of this.enrolled.values()) {
      if (state === 'added' && !addresses.every((a) => allowed.has(a)))
        this.options.effects.allowProbes(uid, addresses);
    }
  }

  /** Pods that came through the plugin and were gone before the watch could show them must not stay for ever. */
  async forgetUnseen(): Promise<void> {
    for (const enrolled of [...this.enrolled.values()]) {
      if (this.pods.has(enrolled.uid) || this.clock.now() - enrolled.heldSinceMs < UNSEEN_MS) continue;
      const pod = await this.options.effects.fetchPod(enrolled);
      if (!this.pods.has(enrolled.uid)) await this.podChanged(enrolled.uid, pod);
    }
  }

  /** Ends without touching any pod: their rules and ztunnels stay as they are. */
  stop(): void {
    this.steps.stop();
  }

  /** Takes every pod out of the mesh; needs nothing of the API server, which may have forgotten us already. */
  async unenrolAll(): Promise<void> {
    this.stop();
    await this.steps.idle();
    const { effects } = this.options;
    // All at once and before anything else: our rights may go at any moment, and then the annotations stay.
    await Promise.all(
      [...this.enrolled.keys()].map(async (uid) => {
        const pod = this.pods.get(uid);
        if (pod !== undefined) await effects.annotate(pod, undefined).catch(() => undefined);
      }),
    );
    for (const enrolled of this.enrolled.values()) {
      this.attempt('redirection', enrolled, () => effects.stopRedirecting(enrolled.netns));
      await effects.removeFromZtunnel(enrolled.uid);
      this.attempt('rules', enrolled, () => effects.removeRules(enrolled.netns));
      this.attempt('probes', enrolled, () => effects.disallowProbes(enrolled.uid, enrolled.addresses));
      this.forget(enrolled);
    }
  }

  private reconcileSoon(uid: string): Promise<void> {
    return this.steps.untilDone(uid, () => this.reconcile(uid));
  }

  private onFailure(uid: string, error: unknown, delayMs: number): void {
    this.options.onReconcile?.('error');
    this.options.onError?.(error);
    this.failures.set(uid, describeError(error));
    const pod = this.pods.get(uid);
    this.options.logger.warn('pod not reconciled, will be tried again', {
      pod: pod === undefined ? undefined : podTitle(pod),
      uid,
      delayMs,
      error: describeError(error),
    });
  }

  private async reconcile(uid: string): Promise<void> {
    const pod = this.pods.get(uid);
    const enrolled = this.enrolled.get(uid);
    if (pod === undefined || isFinished(pod)) {
      if (enrolled !== undefined) await this.enrolment.release(enrolled, 'gone');
    } else if (!this.isWanted(pod)) {
      if (enrolled !== undefined) await this.enrolment.leave(pod, enrolled);
      else if (pod.metadata.annotations?.[Annotation.redirection] !== undefined)
        await this.enrolment.leaveUnknown(pod);
    } else if (enrolled !== undefined) {
      await this.enrolment.enter(pod, enrolled);
    } else if (addressesOf(pod).length > 0) {
      await this.enrolRunning(pod);
    }
    this.failures.delete(uid);
  }

  private async enrolRunning(pod: Pod): Promise<void> {
    const uid = pod.metadata.uid ?? '';
    const addresses = addressesOf(pod);
    // Said before anything is done: who dies on the way leaves word for the next agent, should the label go meanwhile.
    if (pod.metadata.annotations?.[Annotation.redirection] === undefined)
      await this.options.effects.annotate(pod, Redirection.pending);
    const netns = this.options.effects.findNetworkNamespace(uid, addresses);
    if (netns === undefined) {
      throw new WeftError('WEFT1704', `pod ${podTitle(pod)}, addresses ${addresses.join(', ')}`);
    }
    const rules = this.options.repairRules === false && isAnnotated(pod) ? 'kept' : 'former';
    await this.enrolment.enter(pod, this.hold(pod, netns, addresses, rules));
  }

  private hold(
    pod: Pod,
    netns: NetworkNamespace,
    addresses: readonly string[],
    rules: EnrolledPod['rules'] = 'absent',
  ): EnrolledPod {
    const enrolled: EnrolledPod = {
      uid: pod.metadata.uid ?? '',
      name: pod.metadata.name ?? '',
      namespace: pod.metadata.namespace ?? '',
      serviceAccount: pod.spec?.serviceAccountName ?? 'default',
      netns,
      addresses,
      state: 'pending',
      rules,
      heldSinceMs: this.clock.now(),
    };
    this.enrolled.set(enrolled.uid, enrolled);
    return enrolled;
  }

  private forget(enrolled: EnrolledPod): void {
    if (this.enrolled.get(enrolled.uid) === enrolled) this.enrolled.delete(enrolled.uid);
    enrolled.netns.close();
  }

  private ruleOptions(pod: Pod): PodRuleOptions {
    return ruleOptions(pod, { dnsCapture: this.options.dnsCapture ?? false });
  }

  private isWanted(pod: Pod): boolean {
    const namespace = this.namespaces.get(pod.metadata.namespace ?? '');
    return decideEnrolment(this.options.policy, pod, namespace).kind === 'enrol';
  }

  private attempt(what: string, enrolled: EnrolledPod, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.options.logger.warn(`${what} not removed`, {
        pod: `${enrolled.namespace}/${enrolled.name}`,
        error: describeError(error),
      });
    }
  }
}
