import { TypeUrl } from '@weft/api';
import { istio } from '@weft/api/workload';
import type { WorkloadDirectory, WorkloadMetadata } from '@weft/proxy';
import { Subscription } from '@weft/xds';
import { formatSpiffeId } from '@weft/spiffe';
import { DEFAULT_TRUST_DOMAIN } from '@weft/api';

const { Workload } = istio.workload;

interface Entry {
  readonly addresses: readonly string[];
  readonly metadata: WorkloadMetadata;
}

/** Workloads of the mesh by address, as the control plane tells them: names for metrics, never for policy. */
export class WorkloadAddresses implements WorkloadDirectory {
  readonly subscription: Subscription<Entry>;
  private readonly entries = new Map<string, Entry>();
  private readonly addresses = new Map<string, Entry>();

  constructor() {
    this.subscription = new Subscription<Entry>(
      { typeUrl: TypeUrl.workload, decode: (bytes) => entryOf(Workload.decode(bytes)) },
      ({ upserted, removed }) => {
        for (const uid of removed) this.forget(uid);
        for (const { name, resource } of upserted) {
          this.forget(name);
          this.entries.set(name, resource);
          for (const address of resource.addresses) this.addresses.set(address, resource);
        }
      },
    );
  }

  byAddress(ip: string): WorkloadMetadata | undefined {
    return this.addresses.get(ip)?.metadata;
  }

  private forget(uid: string): void {
    const entry = this.entries.get(uid);
    if (entry === undefined) return;
    this.entries.delete(uid);
    // Its address may be another workload's already.
    for (const address of entry.addresses)
      if (this.addresses.get(address) === entry) this.addresses.delete(address);
  }
}

function entryOf(workload: istio.workload.Workload): Entry {
  const { workloadName, name, namespace, serviceAccount, canonicalName, canonicalRevision, clusterId } =
    workload;
  const trustDomain = workload.trustDomain === '' ? DEFAULT_TRUST_DOMAIN : workload.trustDomain;
  return {
    addresses: workload.addresses.flatMap((bytes) => formatIp(bytes) ?? []),
    metadata: {
      name: workloadName === '' ? name : workloadName,
      namespace,
      canonicalName,
      canonicalRevision,
      ...(clusterId === '' ? {} : { cluster: clusterId }),
      ...(canonicalName === '' ? {} : { app: canonicalName }),
      ...(canonicalRevision === '' ? {} : { version: canonicalRevision }),
      ...(namespace === '' || serviceAccount === ''
        ? {}
        : { identity: formatSpiffeId({ trustDomain, namespace, serviceAccount }) }),
    },
  };
}

/** As the engine writes addresses: IPv6 in the shortest form. */
function formatIp(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return undefined;
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  return new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]`).hostname.slice(1, -1);
}
