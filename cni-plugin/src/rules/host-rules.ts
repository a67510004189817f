import { isIPv4 } from 'node:net';
import type { IpVersion } from './rule.ts';

/** Sets of the addresses whose pods let probes pass, in either back end. */
export const PROBE_SETS: Readonly<Record<IpVersion, string>> = {
  4: 'istio-inpod-probes-v4',
  6: 'istio-inpod-probes-v6',
};

export interface ProbedAddress {
  readonly address: string;
  /** UID of the pod. */
  readonly uid: string;
}

/**
 * The node's side of kubelet probes: what a process of the node sends to an enrolled pod gets a source address that
 * the rules in the pod let pass. Forwarded traffic is not touched.
 */
export interface HostProbeRules {
  /**
   * Makes the sets and the rule that uses them, or repairs them. Sets of an earlier agent stay as they are: without
   * them the probes of every redirected pod would come from a stranger until the pod is enrolled again.
   */
  install(): 'in-force' | 'written';
  remove(): void;
  /** A recycled address that is still listed for a former pod becomes this one's. */
  addPod(uid: string, addresses: readonly string[]): void;
  /** Entries that another pod has taken over meanwhile stay. */
  removePod(uid: string, addresses: readonly string[]): void;
  members(version: IpVersion): readonly ProbedAddress[];
  /** Takes out what belongs to none of the addresses. */
  retain(addresses: readonly string[]): void;
}

export function versionOf(address: string): IpVersion {
  return isIPv4(address) ? 4 : 6;
}
