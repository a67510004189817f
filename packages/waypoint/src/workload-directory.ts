import { DEFAULT_TRUST_DOMAIN, TypeUrl } from '@weft/api';
import { istio } from '@weft/api/workload';
import type { WorkloadDirectory, WorkloadMetadata } from '@weft/proxy';
import { formatSpiffeId } from '@weft/spiffe';
import { describeError } from '@weft/telemetry';
import type { Rejection, ResourceConsumer, ResourcePush } from '@weft/xds';

const { Workload } = istio.workload;

interface Entry {
  readonly addresses: readonly string[];
  readonly metadata: WorkloadMetadata;
}

/** An address that requests came from or went to. */
interface Peer {
  /** Undefined until the control plane has answered, and while no workload has the address. */
  workload: { readonly uid: string; readonly entry: Entry } | undefined;
  /** Of {@link WorkloadAddresses.uses}. */
  lastUse: number;
}

/** Beyond this, those that were not asked for the longest are forgotten, and learnt again when they come back. */
export const MAX_PEERS = 10_000;
/** A part at a time, so that forgetting isn't paid for by each newcomer. */
const FORGOTTEN_AT_ONCE = MAX_PEERS / 10;

/**
 * Workloads of the mesh by address: names for metrics, never for policy. Only those are followed that have been asked
 * for, so memory grows with the peers of this waypoint, not with the mesh. The first answer for an address is always
 * "unknown".
 */
export class WorkloadAddresses implements WorkloadDirectory, ResourceConsumer {
  readonly typeUrl = TypeUrl.workload;
  readonly follows = 'names';
  private readonly network: string;
  private readonly peers = new Map<string, Peer>();
  private readonly entries = new Map<string, Entry>();
  private uses = 0;
  private onNames: ((names: readonly string[]) => void) | undefined;
  private announcing = false;

  /** @param network that this waypoint is in: it sees no addresses of others */
  constructor(network: string) {
    this.network = network;
  }

  /** Tells which names are wanted of the control plane, now and whenever that changes. */
  follow(onNames: (names: readonly string[]) => void): void {
    this.onNames = onNames;
    this.announceSoon();
  }

  byAddress(ip: string): WorkloadMetadata | undefined {
    let peer = this.peers.get(ip);
    if (peer === undefined) {
      if (this.peers.size >= MAX_PEERS) this.forgetOldest();
      peer = { workload: undefined, lastUse: 0 };
      this.peers.set(ip, peer);
      this.announceSoon();
    }
    peer.lastUse = ++this.uses;
    return peer.workload?.entry.metadata;
  }

  receive({ resources, removed }: ResourcePush): readonly Rejection[] {
    const rejections: Rejection[] = [];
    for (const uid of removed) this.forget(uid);
    for (const { name: uid, bytes } of resources) {
      let entry: Entry;
      try {
        entry = entryOf(Workload.decode(bytes));
      } catch (error) {
        rejections.push({ name: uid, reason: describeError(error) });
        continue;
      }
      this.forget(uid);
      this.entries.set(uid, entry);
      for (const address of entry.addresses) {
        const peer = this.peers.get(address);
        if (peer !== undefined) peer.workload = { uid, entry };
      }
    }
    this.announceSoon();
    return rejections;
  }

  private forget(uid: string): void {
    const entry = this.entries.get(uid);
    this.entries.delete(uid);
    for (const address of entry?.addresses ?? []) {
      const peer = this.peers.get(address);
      // The address may be another workload's already.
      if (peer?.workload?.uid === uid) peer.workload = undefined;
    }
  }

  private forgetOldest(): void {
    const byUse = [...this.peers].sort(([, a], [, b]) => a.lastUse - b.lastUse);
    for (const [ip] of byUse.slice(0, FORGOTTEN_AT_ONCE)) this.peers.delete(ip);
    for (const [uid, { addresses }] of this.entries)
      if (!addresses.some((address) => this.peers.has(address))) this.entries.delete(uid);
  }

  /** Once for all that one turn of the event loop adds and forgets. */
  private announceSoon(): void {
    if (this.announcing) return;
    this.announcing = true;
    setImmediate(() => {
      this.announcing = false;
      // By the names of what came, too: under these the control plane goes on following it until they are given up.
      const addresses = [...this.peers.keys()].map((ip) => `${this.network}/${ip}`);
      this.onNames?.([...addresses, ...this.entries.keys()]);
    });
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
