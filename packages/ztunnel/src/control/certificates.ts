import { toSpiffeId, type CertificateSource, type SpiffeId } from '@weft/spiffe';
import type { CertificatePems } from '../data/messages.ts';
import type { MeshState, StateChange } from '../state/mesh-state.ts';
import { workloadIdentity, type Workload, type WorkloadUid } from '../state/workload.ts';
import { isLocal } from '../state/workload-store.ts';

/** Keeps the certificates of this node's workloads at hand, and no others. */
export class NodeCertificates {
  private readonly source: CertificateSource;
  private readonly nodeName: string | undefined;
  private readonly identities = new Map<WorkloadUid, SpiffeId>();
  private readonly stop: () => void;

  /** @param nodeName undefined: certificates are fetched when they are needed, as a dedicated proxy does */
  constructor(source: CertificateSource, state: MeshState, nodeName: string | undefined) {
    this.source = source;
    this.nodeName = nodeName;
    this.stop = state.onChange((change) => this.onChange(change));
  }

  /** @throws whatever the certificate authority answered, coded WEFT16xx */
  async pems(identity: string): Promise<CertificatePems> {
    const { keyPem, chainPem, rootsPem } = await this.source.get(toSpiffeId(identity));
    return { identity, keyPem, chainPem, rootsPem };
  }

  close(): void {
    this.stop();
  }

  private onChange({ workloads, removedWorkloads }: StateChange): void {
    const before = new Set<SpiffeId>();
    const forget = (workload: Workload): void => {
      const identity = this.identities.get(workload.uid);
      if (identity !== undefined) before.add(identity);
      this.identities.delete(workload.uid);
    };
    removedWorkloads.forEach(forget);
    for (const workload of workloads) {
      forget(workload);
      if (this.nodeName === undefined || !isLocal(workload, this.nodeName)) continue;
      if (workload.protocol !== 'HBONE' && !workload.nativeTunnel) continue;
      const identity = identityOf(workload);
      if (identity === undefined) continue;
      this.identities.set(workload.uid, identity);
      this.source.prefetch(identity);
    }
    if (before.size === 0) return;
    for (const identity of this.identities.values()) before.delete(identity);
    for (const identity of before) this.source.forget(identity);
  }
}

/** A name that can't be part of an identity makes a workload without one, not a crash. */
function identityOf(workload: Workload): SpiffeId | undefined {
  try {
    return toSpiffeId(workloadIdentity(workload));
  } catch {
    return undefined;
  }
}
