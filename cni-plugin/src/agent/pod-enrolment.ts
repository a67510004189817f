import { Redirection } from '@weft/api';
import type { Pod } from '@weft/kubernetes';
import type { Clock, Logger } from '@weft/telemetry';
import type { PodRuleOptions } from '../rules/pod-rules.ts';
import {
  addressesOf,
  isAnnotated,
  sameMembers,
  withoutRedirection,
  type EnrolledPod,
} from './enrolled-pod.ts';
import type { NodeEffects } from './node-effects.ts';

export interface PodEnrolmentOptions {
  readonly effects: NodeEffects;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly unenrolDelayMs: number;
  readonly onReconcile: ((type: 'add' | 'remove' | 'update') => void) | undefined;
  readonly ruleOptions: (pod: Pod) => PodRuleOptions;
  /** The pod as it is now, if it belongs into the mesh after all. */
  readonly stillWanted: (uid: string) => Pod | undefined;
  /** Everything of the pod is undone; its namespace can be closed. */
  readonly onReleased: (enrolled: EnrolledPod) => void;
}

/** The steps by which one pod comes into the mesh and leaves it. `node-agent.ts` says when. */
export class PodEnrolment {
  private readonly options: PodEnrolmentOptions;

  constructor(options: PodEnrolmentOptions) {
    this.options = options;
  }

  /** Goes through the steps that are left. Each is idempotent, so a retry starts at the top. */
  async enter(pod: Pod, enrolled: EnrolledPod): Promise<void> {
    const { effects, logger, onReconcile } = this.options;
    this.followAddresses(pod, enrolled);
    if (enrolled.state === 'pending') {
      await effects.addToZtunnel(enrolled);
      effects.allowProbes(enrolled.uid, enrolled.addresses);
      if (enrolled.rules === 'absent') effects.applyRules(enrolled.netns, this.options.ruleOptions(pod));
      if (enrolled.rules === 'former') effects.reconcileRules(enrolled.netns, this.options.ruleOptions(pod));
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

  async leave(pod: Pod, enrolled: EnrolledPod): Promise<void> {
    const { effects } = this.options;
    // Not taken away before everything else is: an agent that dies on the way leaves word for the next one.
    await effects.annotate(pod, Redirection.pending);
    await this.options.clock.sleep(this.options.unenrolDelayMs);
    // The label may have come back meanwhile, and would find everything in place.
    const latest = this.options.stillWanted(enrolled.uid);
    if (latest !== undefined) return this.enter(withoutRedirection(latest), enrolled);
    await this.release(enrolled, 'unenrolled');
    await effects.annotate(pod, undefined);
  }

  /** Annotated by an earlier agent, not wanted any more, and unknown to us: rules may be there. */
  async leaveUnknown(pod: Pod): Promise<void> {
    const { effects } = this.options;
    const uid = pod.metadata.uid ?? '';
    if (isAnnotated(pod)) await effects.annotate(pod, Redirection.pending);
    const netns = effects.findNetworkNamespace(uid, addressesOf(pod));
    try {
      if (netns !== undefined) effects.stopRedirecting(netns);
      await effects.removeFromZtunnel(uid);
      if (netns !== undefined) effects.removeRules(netns);
    } finally {
      netns?.close();
    }
    effects.disallowProbes(uid, addressesOf(pod));
    await effects.annotate(pod, undefined);
  }

  async release(enrolled: EnrolledPod, why: 'gone' | 'unenrolled'): Promise<void> {
    const { effects, logger, onReconcile } = this.options;
    // The rules of a pod that is gone went with its namespace.
    if (why === 'unenrolled') effects.stopRedirecting(enrolled.netns);
    await effects.removeFromZtunnel(enrolled.uid);
    if (why === 'unenrolled') effects.removeRules(enrolled.netns);
    effects.disallowProbes(enrolled.uid, enrolled.addresses);
    this.options.onReleased(enrolled);
    onReconcile?.('remove');
    logger.info(`pod ${why}`, { pod: `${enrolled.namespace}/${enrolled.name}`, uid: enrolled.uid });
  }
}
