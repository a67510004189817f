import { PodCondition } from '@weft/api';
import type { Pod } from '@weft/kubernetes';
import type { NetworkNamespace } from '@weft/linux';
import { describeError, type Clock, type Logger } from '@weft/telemetry';
import type { PodRuleOptions } from '../rules/pod-rules.ts';
import type { IdentityResult, RedirectResult } from './capture-probes.ts';
import { judgeCapture, type CaptureObservation, type CaptureVerdict } from './capture-verdict.ts';
import { podTitle, type ExpectedPod } from './enrolled-pod.ts';
import type { NodeAgent } from './node-agent.ts';
import type { NamespaceCheck } from './pod-network-namespace.ts';

/** How the audit looks at a pod; the tests put fakes here. */
export interface CaptureProbes {
  /** A descriptor of our own: a step of the agent may close its one while we wait. */
  hold(netns: NetworkNamespace): NetworkNamespace;
  /** For one round: it looks at the node once. */
  namespaceCheck(): NamespaceCheck;
  listeningPorts(netns: NetworkNamespace): ReadonlySet<number>;
  ruleDifferences(netns: NetworkNamespace, options: PodRuleOptions): readonly string[];
  redirect(netns: NetworkNamespace, addresses: readonly string[]): Promise<RedirectResult>;
  identity(netns: NetworkNamespace): Promise<IdentityResult>;
  /** Makes the verdict known on the pod. */
  report(pod: Pod, verdict: CaptureVerdict): Promise<void>;
}

export interface CaptureAuditOptions {
  readonly agent: Pick<NodeAgent, 'expected' | 'repair' | 'forgetUnseen'>;
  readonly probes: CaptureProbes;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A pod may be uncaptured for this long before the agent is no longer ready. */
  readonly graceMs: number;
  readonly onFault?: (fault: string) => void;
}

interface AuditRecord {
  readonly title: string;
  verdict: CaptureVerdict;
  /** Since when it is uncaptured. */
  faultySinceMs: number | undefined;
  rulesCheckedMs: number;
  identityCheckedMs: number;
  /** What the pod says of it. */
  reported: string | undefined;
}

/** Comparing rules starts some ten programs, so not every round does; a probe that fails makes it happen at once. */
const RULES_EVERY_MS = 60_000;
/** Istio's ztunnel logs a handshake that stops half-way, and renews certificates by itself. */
const IDENTITY_EVERY_MS = 3_600_000;

/**
 * Looks again and again whether every pod that should be captured is, mends what isn't, and says so until it is. It
 * trusts neither the agent's own state nor the annotation, only the kernel and ztunnel.
 */
export class CaptureAudit {
  private readonly options: CaptureAuditOptions;
  private readonly records = new Map<string, AuditRecord>();
  private running = false;
  private again = false;

  constructor(options: CaptureAuditOptions) {
    this.options = options;
  }

  /** Looks at every pod once, one after the other. Asked for while a round runs, there is another one after it. */
  async round(): Promise<void> {
    this.again = this.running;
    if (this.running) return;
    this.running = true;
    try {
      const { agent } = this.options;
      const expected = agent.expected;
      const uids = new Set(expected.map(({ uid }) => uid));
      for (const uid of this.records.keys()) if (!uids.has(uid)) this.records.delete(uid);
      const isCurrentNamespace = this.options.probes.namespaceCheck();
      for (const pod of expected) await this.look(pod, isCurrentNamespace);
      await agent.forgetUnseen();
    } finally {
      this.running = false;
    }
    if (this.again) await this.round();
  }

  /** Pods whose last verdict is bad. */
  get uncaptured(): readonly string[] {
    return [...this.records.values()].filter((r) => r.faultySinceMs !== undefined).map((r) => r.title);
  }

  /** Pods that have been uncaptured for longer than the grace. */
  get overdue(): readonly string[] {
    const { clock, graceMs } = this.options;
    return [...this.records.values()]
      .filter((r) => r.faultySinceMs !== undefined && clock.now() - r.faultySinceMs >= graceMs)
      .map((r) => r.title);
  }

  private async look(expected: ExpectedPod, isCurrentNamespace: NamespaceCheck): Promise<void> {
    const { clock, logger, agent, onFault } = this.options;
    const record = this.recordOf(expected);
    let verdict: CaptureVerdict;
    try {
      verdict = judgeCapture(await this.observe(expected, isCurrentNamespace, record), clock.now());
    } catch (error) {
      logger.debug('pod not audited', { pod: record.title, error: describeError(error) });
      return; // it went while we looked, or the next round meets the same
    }
    // A step of the agent may have come between; what it did is looked at next time.
    if (!this.isCurrent(expected)) return;
    record.verdict = verdict;
    if (verdict.kind === 'captured') {
      if (record.faultySinceMs !== undefined) logger.info('pod captured', { pod: record.title });
      record.faultySinceMs = undefined;
    } else {
      const isNew = record.faultySinceMs === undefined;
      record.faultySinceMs ??= clock.now();
      // Between its label and its enrolment a pod is on its way; that is no fault unless it lasts.
      if (isNew && expected.failure === undefined && verdict.fault === 'NotEnrolled') return;
      record.rulesCheckedMs = record.identityCheckedMs = Number.NEGATIVE_INFINITY;
      onFault?.(verdict.fault);
      logger.warn('pod not captured', {
        pod: record.title,
        code: 'WEFT1710',
        fault: verdict.fault,
        message: verdict.message,
        repair: verdict.repair,
      });
      if (verdict.repair !== 'wait') await agent.repair(expected.uid, verdict.repair);
    }
    await this.report(expected.pod, record);
  }

  private async observe(
    { uid, pod, enrolled, rules, failure }: ExpectedPod,
    isCurrentNamespace: NamespaceCheck,
    record: AuditRecord,
  ): Promise<CaptureObservation> {
    const { probes } = this.options;
    const base = {
      serviceAccount: pod.spec?.serviceAccountName ?? 'default',
      namespace: pod.metadata.namespace ?? '',
      dnsCapture: rules.dnsCapture,
    };
    if (enrolled?.state !== 'added') return { ...base, enrolment: { kind: 'pending', failure } };
    const netns = probes.hold(enrolled.netns);
    try {
      const namespaceIsCurrent = isCurrentNamespace(netns, uid, enrolled.addresses);
      return await this.observeInside(
        { ...base, namespaceIsCurrent },
        netns,
        enrolled.addresses,
        rules,
        record,
      );
    } finally {
      netns.close();
    }
  }

  private async observeInside(
    base: Pick<CaptureObservation, 'serviceAccount' | 'namespace' | 'dnsCapture' | 'namespaceIsCurrent'>,
    netns: NetworkNamespace,
    addresses: readonly string[],
    rules: PodRuleOptions,
    record: AuditRecord,
  ): Promise<CaptureObservation> {
    const { probes, clock } = this.options;
    const seen: CaptureObservation = {
      ...base,
      enrolment: { kind: 'added' },
      listening: probes.listeningPorts(netns),
      redirect: await probes.redirect(netns, addresses),
    };
    const now = clock.now();
    if (judgeCapture(seen, now).kind === 'uncaptured' && seen.redirect !== 'not-redirected') return seen;
    let ruleDifferences: readonly string[] | undefined;
    if (seen.redirect === 'not-redirected' || now - record.rulesCheckedMs >= RULES_EVERY_MS) {
      ruleDifferences = probes.ruleDifferences(netns, rules);
      record.rulesCheckedMs = now;
    }
    let identity: IdentityResult | undefined;
    if (now - record.identityCheckedMs >= IDENTITY_EVERY_MS) {
      identity = await probes.identity(netns);
      record.identityCheckedMs = now;
    }
    return {
      ...seen,
      ...(ruleDifferences === undefined ? {} : { ruleDifferences }),
      ...(identity === undefined ? {} : { identity }),
    };
  }

  private isCurrent({ uid, enrolled }: ExpectedPod): boolean {
    const now = this.options.agent.expected.find((pod) => pod.uid === uid);
    return now !== undefined && now.enrolled === enrolled;
  }

  /** Once for each change; what could not be written is tried again in the next round. */
  private async report(pod: Pod, record: AuditRecord): Promise<void> {
    const { verdict } = record;
    const text = verdict.kind === 'captured' ? 'captured' : `${verdict.fault}: ${verdict.message}`;
    const isThere = pod.status?.conditions?.some(({ type }) => type === PodCondition.captured) === true;
    if (record.reported === text && isThere) return;
    try {
      await this.options.probes.report(pod, verdict);
      record.reported = text;
    } catch (error) {
      this.options.logger.warn('condition not written', { pod: record.title, error: describeError(error) });
    }
  }

  private recordOf({ uid, pod }: ExpectedPod): AuditRecord {
    const found = this.records.get(uid);
    if (found !== undefined) return found;
    const made: AuditRecord = {
      title: podTitle(pod),
      verdict: { kind: 'captured' },
      faultySinceMs: undefined,
      rulesCheckedMs: Number.NEGATIVE_INFINITY,
      identityCheckedMs: Number.NEGATIVE_INFINITY,
      reported: undefined,
    };
    this.records.set(uid, made);
    return made;
  }
}
