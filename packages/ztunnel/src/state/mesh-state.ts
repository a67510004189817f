import { EventEmitter } from 'node:events';
import type { Policy, PolicyKey } from './policy.ts';
import { PolicyStore } from './policy-store.ts';
import type { Service, ServiceKey, Workload, WorkloadUid } from './workload.ts';
import { WorkloadStore } from './workload-store.ts';

export type AddressChange =
  | { readonly kind: 'workload'; readonly workload: Workload }
  | { readonly kind: 'service'; readonly service: Service }
  /** A removed resource: a workload's uid, or else a service's `namespace/hostname`. */
  | { readonly kind: 'removed'; readonly name: string };

export type PolicyChange =
  | { readonly kind: 'policy'; readonly policy: Policy }
  | { readonly kind: 'removed'; readonly name: string };

/** What a push changed; records are the new ones, and of removed workloads the last. */
export interface StateChange {
  readonly workloads: readonly Workload[];
  readonly removedWorkloads: readonly Workload[];
  readonly services: boolean;
  readonly policies: boolean;
}

/** Everything the control plane has told, and one event for each change of it. */
export class MeshState {
  readonly workloads = new WorkloadStore();
  readonly policies = new PolicyStore();
  private readonly events = new EventEmitter<{ change: [StateChange] }>();

  constructor() {
    // One listener for each connection that waits for something; they are bounded by their deadline.
    this.events.setMaxListeners(0);
  }

  /** Removals come first, so that an address can move from one workload to another within a push. */
  applyAddresses(changes: readonly AddressChange[]): void {
    const upserted: Workload[] = [];
    const removed: Workload[] = [];
    let services = false;
    for (const change of changes) {
      if (change.kind !== 'removed') continue;
      const workload = this.workloads.removeWorkload(change.name as WorkloadUid); // unknown names are not found
      if (workload !== undefined) removed.push(workload);
      else services = this.workloads.removeService(change.name as ServiceKey) || services; // as above
    }
    for (const change of changes) {
      if (change.kind === 'workload') {
        this.workloads.upsertWorkload(change.workload);
        upserted.push(change.workload);
      } else if (change.kind === 'service') {
        this.workloads.upsertService(change.service);
        services = true;
      }
    }
    this.emit({ workloads: upserted, removedWorkloads: removed, services, policies: false });
  }

  applyPolicies(changes: readonly PolicyChange[]): void {
    for (const change of changes) {
      if (change.kind === 'removed') this.policies.remove(change.name as PolicyKey); // unknown names are not found
    }
    for (const change of changes) {
      if (change.kind === 'policy') this.policies.upsert(change.policy);
    }
    this.emit({ workloads: [], removedWorkloads: [], services: false, policies: changes.length > 0 });
  }

  /** Returns the way to stop. */
  onChange(listener: (change: StateChange) => void): () => void {
    this.events.on('change', listener);
    return () => this.events.off('change', listener);
  }

  private emit(change: StateChange): void {
    const { workloads, removedWorkloads, services, policies } = change;
    if (workloads.length + removedWorkloads.length > 0 || services || policies)
      this.events.emit('change', change);
  }
}
