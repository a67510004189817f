import { Annotation, Redirection } from '@weft/api';
import type { Namespace, Pod } from '@weft/kubernetes';
import type { NetworkNamespace } from '@weft/linux';
import { Backoff, WeftError, describeError, systemClock, type Clock, type Logger } from '@weft/telemetry';
import type { PodRuleOptions } from '../rules/pod-rules.ts';
import { decideEnrolment, isFinished, ruleOptions, type EnrolmentPolicy } from './enrolment.ts';
import type { SnapshotEntry, ZdsPod } from './zds-server.ts';

/** What the agent does to the world; the tests put fakes here. */
export interface NodeEffects {
  /** The caller owns the result. */
  findNetworkNamespace(uid: string, addresses: readonly string[]): NetworkNamespace | undefined;
  applyRules(netns: NetworkNamespace, options: PodRuleOptions): void;
  /** First step out: new connections are not redirected any more, open ones live on. */
  stopRedirecting(netns: NetworkNamespace): void;
  /** Last step out, when ztunnel has cut its connections. */
  removeRules(netns: NetworkNamespace): void;
  allowProbes(uid: string, addresses: readonly string[]): void;
  disallowProbes(uid: string, addresses: readonly string[]): void;
  /** Throws WEFT1702 or WEFT1703. */
  addToZtunnel(pod: ZdsPod): Promise<void>;
  removeFromZtunnel(uid: string): Promise<void>;
  /** Writes the redirection annotation; `undefined` removes it. A pod that is gone is no error. */
  annotate(pod: Pod, value: string | undefined): Promise<void>;
}

export interface NodeAgentOptions {
  readonly policy: EnrolmentPolicy;
  readonly effects: NodeEffects;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Peers learn from the control plane that a pod is no longer in the mesh; until then it must still answer them. */
  readonly unenrolDelayMs?: number;
  /** Whether the rules of pods that an earlier agent enrolled are compared with the kernel and repaired. */
  readonly repairRules?: boolean;
  readonly onReconcile?: (type: 'add' | 'remove' | 'update' | 'error') => void;
  readonly onError?: (error: unknown) => void;
}

/** A pod whose namespace we hold. */
interface EnrolledPod extends ZdsPod {
  addresses: readonly string[];
  /** `added`: ztunnel listens in it and the rules are in force. `pending`: not yet, or not any more. */
  state: 'pending' | 'added';
  /** Rules of an earlier agent that are not to be touched. */
  readonly keepsRules: boolean;
}

const DEFAULT_UNENROL_DELAY_MS = 2_000;
const RETRY_MS = { initialMs: 50, maxMs: 5_000 } as const;

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
  /** Tail of each pod's chain of steps. */
  private readonly steps = new Map<string, Promise<void>>();
  private readonly retries = new Map<string, { backoff: Backoff; cancel: () => void }>();
  private stopped = false;

  constructor(options: NodeAgentOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
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
    await this.step(uid, async () => {
      const former = this.enrolled.get(uid);
      if (former !== undefined) this.forget(former);
      const enrolled = this.hold(pod, netns, addresses);
      try {
        await this.complete(pod, enrolled);
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

  /** Pods that are wanted but not fully redirected now, with the reason, for readiness and reports. */
  get pending(): readonly string[] {
    return [...this.pods]
      .filter(
        ([uid, pod]) =>
          this.isWanted(pod) &&
          hasAddress(pod) &&
          !isFinished(pod) &&
          this.enrolled.get(uid)?.state !== 'added',
      )
      .map(([, pod]) => `${pod.metadata.namespace}/${pod.metadata.name}`);
  }

  /** Addresses of the pods that belong into the mesh, whether or not they are in it yet. */
  get wantedAddresses(): readonly string[] {
    return [...this.pods.values()]
      .filter((pod) => this.isWanted(pod) && !isFinished(pod))
      .flatMap(addressesOf);
  }

  get enrolledCount(): number {
    return this.enrolled.size;
  }

  /** Ends without touching any pod: their rules and ztunnels stay as they are. */
  stop(): void {
    this.stopped = true;
    for (const { cancel } of this.retries.values()) cancel();
    this.retries.clear();
  }

  /** Takes every pod out of the mesh; needs nothing of the API server, which may have forgotten us already. */
  async unenrolAll(): Promise<void> {
    this.stop();
    await Promise.all(this.steps.values());
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
    if (this.stopped) return Promise.resolve();
    this.retries.get(uid)?.cancel();
    return this.step(uid, () => this.reconcile(uid)).then(
      () => void this.retries.delete(uid),
      (error: unknown) => this.retry(uid, error),
    );
  }

  private retry(uid: string, error: unknown): void {
    this.options.onReconcile?.('error');
    this.options.onError?.(error);
    if (this.stopped) return;
    const backoff = this.retries.get(uid)?.backoff ?? new Backoff(RETRY_MS);
    const delayMs = backoff.next();
    const pod = this.pods.get(uid)?.metadata;
    this.options.logger.warn('pod not reconciled, will be tried again', {
      pod: `${pod?.namespace}/${pod?.name}`,
      uid,
      delayMs,
      error: describeError(error),
    });
    this.retries.set(uid, {
      backoff,
      cancel: this.clock.schedule(delayMs, () => void this.reconcileSoon(uid)),
    });
  }

  private step<T>(uid: string, work: () => Promise<T>): Promise<T> {
    const result = (this.steps.get(uid) ?? Promise.resolve()).then(work);
    const tail = result.then(
      () => undefined,
      () => undefined,
    );
    this.steps.set(uid, tail);
    void tail.then(() => {
      if (this.steps.get(uid) === tail) this.steps.delete(uid);
    });
    return result;
  }

  private async reconcile(uid: string): Promise<void> {
    const pod = this.pods.get(uid);
    const enrolled = this.enrolled.get(uid);
    if (pod === undefined || isFinished(pod)) {
      if (enrolled !== undefined) await this.release(enrolled, 'gone');
    } else if (!this.isWanted(pod)) {
      if (enrolled !== undefined) await this.unenrol(pod, enrolled);
      else if (pod.metadata.annotations?.[Annotation.redirection] !== undefined)
        await this.unenrolUnknown(pod);
    } else if (enrolled !== undefined) {
      await this.complete(pod, enrolled);
    } else if (hasAddress(pod)) {
      await this.enrolRunning(pod);
    }
  }

  private async enrolRunning(pod: Pod): Promise<void> {
    const uid = pod.metadata.uid ?? '';
    const addresses = addressesOf(pod);
    const netns = this.options.effects.findNetworkNamespace(uid, addresses);
    if (netns === undefined) {
      throw new WeftError(
        'WEFT1704',
        `pod ${pod.metadata.namespace}/${pod.metadata.name}, addresses ${addresses.join(', ')}`,
      );
    }
    const keepsRules = this.options.repairRules === false && isAnnotated(pod);
    await this.complete(pod, this.hold(pod, netns, addresses, keepsRules));
  }

  /** Goes through the steps that are left. Each is idempotent, so a retry starts at the top. */
  private async complete(pod: Pod, enrolled: EnrolledPod): Promise<void> {
    const { effects, logger, onReconcile } = this.options;
    this.followAddresses(pod, enrolled);
    if (enrolled.state === 'pending') {
      try {
        await effects.addToZtunnel(enrolled);
      } catch (error) {
        // A pod that was redirected before this agent started still is: only ztunnel is away for a while.
        if (!isAnnotated(pod)) await effects.annotate(pod, Redirection.pending).catch(() => undefined);
        throw error;
      }
      effects.allowProbes(enrolled.uid, enrolled.addresses);
      if (!enrolled.keepsRules) effects.applyRules(enrolled.netns, ruleOptions(pod));
      enrolled.state = 'added';
      onReconcile?.('add');
      logger.info('pod enrolled', { pod: `${enrolled.namespace}/${enrolled.name}`, uid: enrolled.uid });
    }
    if (!isAnnotated(pod)) await effects.annotate(pod, Redirection.enabled);
  }

  /** A pod may get its address, or a second one, after it was enrolled. */
  private followAddresses(pod: Pod, enrolled: EnrolledPod): void {
    const addresses = addressesOf(pod);
    if (addresses.length === 0 || sameMembers(addresses, enrolled.addresses)) return;
    const { effects, onReconcile } = this.options;
    effects.disallowProbes(
      enrolled.uid,
      enrolled.addresses.filter((a) => !addresses.includes(a)),
    );
    enrolled.addresses = addresses;
    if (enrolled.state === 'added') effects.allowProbes(enrolled.uid, addresses);
    onReconcile?.('update');
  }

  private async unenrol(pod: Pod, enrolled: EnrolledPod): Promise<void> {
    await this.options.effects.annotate(pod, undefined);
    await this.clock.sleep(this.options.unenrolDelayMs ?? DEFAULT_UNENROL_DELAY_MS);
    // The label may have come back meanwhile, and would find everything in place.
    const latest = this.pods.get(enrolled.uid);
    if (latest !== undefined && this.isWanted(latest))
      return this.complete(withoutRedirection(latest), enrolled);
    await this.release(enrolled, 'unenrolled');
  }

  /** Annotated by an earlier agent, not wanted any more, and unknown to us: rules may be there. */
  private async unenrolUnknown(pod: Pod): Promise<void> {
    const { effects } = this.options;
    await effects.annotate(pod, undefined);
    const netns = effects.findNetworkNamespace(pod.metadata.uid ?? '', addressesOf(pod));
    if (netns === undefined) return;
    try {
      effects.stopRedirecting(netns);
      await effects.removeFromZtunnel(pod.metadata.uid ?? '');
      effects.removeRules(netns);
    } finally {
      netns.close();
    }
  }

  private async release(enrolled: EnrolledPod, why: 'gone' | 'unenrolled'): Promise<void> {
    const { effects, logger, onReconcile } = this.options;
    // The rules of a pod that is gone went with its namespace.
    if (why === 'unenrolled') effects.stopRedirecting(enrolled.netns);
    await effects.removeFromZtunnel(enrolled.uid);
    if (why === 'unenrolled') effects.removeRules(enrolled.netns);
    effects.disallowProbes(enrolled.uid, enrolled.addresses);
    this.forget(enrolled);
    onReconcile?.('remove');
    logger.info(`pod ${why}`, { pod: `${enrolled.namespace}/${enrolled.name}`, uid: enrolled.uid });
  }

  private hold(
    pod: Pod,
    netns: NetworkNamespace,
    addresses: readonly string[],
    keepsRules = false,
  ): EnrolledPod {
    const enrolled: EnrolledPod = {
      uid: pod.metadata.uid ?? '',
      name: pod.metadata.name ?? '',
      namespace: pod.metadata.namespace ?? '',
      serviceAccount: pod.spec?.serviceAccountName ?? 'default',
      netns,
      addresses,
      state: 'pending',
      keepsRules,
    };
    this.enrolled.set(enrolled.uid, enrolled);
    return enrolled;
  }

  private forget(enrolled: EnrolledPod): void {
    if (this.enrolled.get(enrolled.uid) === enrolled) this.enrolled.delete(enrolled.uid);
    enrolled.netns.close();
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

function addressesOf(pod: Pod): readonly string[] {
  const { podIPs = [], podIP } = pod.status ?? {};
  const addresses = podIPs.map(({ ip }) => ip).filter((ip) => ip !== '');
  return addresses.length > 0 || podIP === undefined || podIP === '' ? addresses : [podIP];
}

function hasAddress(pod: Pod): boolean {
  return addressesOf(pod).length > 0;
}

function isAnnotated(pod: Pod): boolean {
  return pod.metadata.annotations?.[Annotation.redirection] === Redirection.enabled;
}

function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((x) => b.includes(x));
}

/** Our own removal of the annotation may not have come back through the watch yet. */
function withoutRedirection(pod: Pod): Pod {
  const { [Annotation.redirection]: _removed, ...annotations } = pod.metadata.annotations ?? {};
  return { ...pod, metadata: { ...pod.metadata, annotations } };
}
