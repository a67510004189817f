import { TypeUrl } from '@weft/api';
import { istio } from '@weft/api/workload';
import { MemorySource, versionedResource, type Node, type VersionedResource } from '@weft/xds';
import { ipFromBytes } from '../state/ip-address.ts';

type WorkloadMessage = istio.workload.Workload.$Properties;
type ServiceMessage = istio.workload.Service.$Properties;

/** Workloads and services, also for clients that ask on demand: by address, services with their workloads. */
export class MeshAddresses extends MemorySource {
  private readonly workloads = new Map<string, WorkloadMessage>();

  constructor() {
    super(TypeUrl.address);
  }

  setWorkload(workload: WorkloadMessage): void {
    const { network, addresses } = workload;
    const uid = workload.uid ?? '';
    this.workloads.set(uid, workload);
    const aliases = (addresses ?? []).map((bytes) => `${network ?? ''}/${ipFromBytes(bytes)}`);
    const bytes = istio.workload.Address.encode({ workload }).finish();
    this.update({ upserted: [versionedResource(uid, bytes, aliases)] });
  }

  removeWorkload(uid: string): void {
    this.workloads.delete(uid);
    this.update({ removed: [uid] });
  }

  setService(service: ServiceMessage): void {
    const aliases = (service.addresses ?? []).map(
      ({ network, address }) => `${network ?? ''}/${ipFromBytes(address ?? new Uint8Array())}`,
    );
    const bytes = istio.workload.Address.encode({ service }).finish();
    this.update({
      upserted: [versionedResource(`${service.namespace}/${service.hostname}`, bytes, aliases)],
    });
  }

  resolve(name: string): readonly VersionedResource[] {
    const found = [...this.list()].find((r) => r.name === name || r.aliases?.includes(name) === true);
    if (found === undefined) return [];
    const endpoints = [...this.workloads].filter(([, { services }]) => services?.[found.name] !== undefined);
    return [found, ...endpoints.flatMap(([uid]) => this.get(uid) ?? [])];
  }

  /** Those of the client's node. */
  implicitNames({ metadata }: Node): readonly string[] {
    const node = metadata?.fields?.['NODE_NAME']?.stringValue;
    return [...this.workloads].filter(([, workload]) => workload.node === node).map(([uid]) => uid);
  }
}
