import type { Demand } from '@weft/xds';
import { STATE_WAIT_MS, withinDeadline } from './wait-for.ts';
import type { Question } from '../data/messages.ts';
import { missingNames } from '../decide/missing-names.ts';
import { parseIp, splitAuthority } from '../state/ip-address.ts';
import { networkAddressKey, serviceKey, type Workload } from '../state/workload.ts';
import type { WorkloadStore } from '../state/workload-store.ts';

/** A service, its waypoint, and what leads to that. */
const MAX_REFERENCES = 3;

/** Has the control plane tell what a decision and its metrics will look for; what it doesn't tell in time is left out. */
export async function learnOnDemand(
  demand: Demand,
  question: Question,
  local: Workload,
  store: WorkloadStore,
  network: string,
): Promise<void> {
  const asked = new Set<string>();
  for (let round = 0; round < MAX_REFERENCES; round++) {
    const missing = namesFor(question, local, store, network).filter((name) => !asked.has(name));
    if (missing.length === 0) return;
    for (const name of missing) asked.add(name);
    await withinDeadline(Promise.all(missing.map((name) => demand.ask(name))), STATE_WAIT_MS);
  }
}

function namesFor(
  question: Question,
  local: Workload,
  store: WorkloadStore,
  network: string,
): readonly string[] {
  if (question.kind === 'outbound') return missingNames(store, network, local, question.destination.ip);
  const { ip } = question.peer;
  const peer = store.workloadAt(network, ip) === undefined ? [networkAddressKey(network, ip)] : [];
  const host = question.kind === 'inbound-tunnel' ? splitAuthority(question.authority)?.host : undefined;
  if (host === undefined || parseIp(host) !== undefined || store.servicesByHostname(host).length > 0)
    return peer;
  return [...peer, serviceKey(local.namespace, host)];
}
