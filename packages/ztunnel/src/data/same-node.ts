import type { CancelSignal, MemoryHandshake, ProvenPair, RelayEnd } from '@weft/hbone';
import type { SpiffeId, WorkloadCertificate } from '@weft/spiffe';
import type { WeftError } from '@weft/telemetry';
import type { Connection } from './connection.ts';
import { LocalTunnel, type TunnelServer } from './local-tunnel.ts';
import type { Order } from './messages.ts';
import type { Revocation } from './revocation.ts';
import { formatSocketAddress, type IpAddress } from '../state/ip-address.ts';

/** Pairs of an identity and a pod that have proven themselves to each other, in one data thread. */
export const MAX_PROOFS = 4_096;
const PROOF_TIMEOUT_MS = 10_000;

export type TunnelOrder = Extract<Order, { kind: 'tunnel' }>;

/** A pod as the other end of its connections sees it. */
export interface LocalPodEnd extends TunnelServer {
  readonly isOpen: boolean;
  readonly serverCertificate: () => Promise<WorkloadCertificate>;
  /** The address that its connections to another one come from; its own addresses are reached from themselves. */
  sourceTowards(ip: IpAddress): IpAddress | undefined;
}

export interface SameNodeOptions {
  readonly handshake: MemoryHandshake;
  readonly revocation: Revocation;
  readonly certificateFor: (identity: SpiffeId) => Promise<WorkloadCertificate>;
  readonly podAt: (podUid: string) => LocalPodEnd | undefined;
  /** After this a pair proves itself again, as it would for a new tunnel. */
  readonly maxAgeMs: number;
}

interface Proof {
  readonly pair: ProvenPair;
  readonly client: WorkloadCertificate;
  readonly server: WorkloadCertificate;
  readonly to: LocalPodEnd;
  readonly validUntil: number;
}

interface Refusals {
  readonly ofClient: WeftError | undefined;
  readonly ofServer: WeftError | undefined;
}

/**
 * Tunnels between pods of one data thread, without a wire. The certificates of both ends are proven as HBONE proves them,
 * by a handshake; where anything is in the way, HBONE is left to try, and to say what it is.
 */
export class SameNodeTunnels {
  private readonly options: SameNodeOptions;
  /** Longest known first. */
  private readonly proofs = new Map<string, Proof>();
  private readonly proving = new Map<string, Promise<Proof | undefined>>();
  /** By which proof each was opened, which may have been replaced since. */
  private readonly tunnels = new Map<LocalTunnel, Proof>();

  constructor(options: SameNodeOptions) {
    this.options = options;
  }

  /**
   * Resolves with what moves the bytes, when the other pod has accepted; with undefined if it must be HBONE.
   * @throws as the pool's `connect`
   */
  async open(
    order: TunnelOrder,
    near: Connection,
    from: { readonly pod: LocalPodEnd; readonly port: number },
  ): Promise<((downstream: RelayEnd) => Promise<void>) | undefined> {
    const { upstream, sameNode } = order;
    const { ip } = upstream;
    const to = sameNode && this.options.podAt(sameNode.podUid);
    if (to === undefined || to.sourceTowards(ip) !== ip) return undefined;
    const source = from.pod.sourceTowards(ip);
    // A pod may give itself any address. On a wire nobody would answer it there; here nothing else would notice.
    if (source === undefined || !sameNode?.sourceIps.includes(source)) return undefined;
    const proof = await unlessAborted(this.proofOf(order, to), near.signal);
    // Meanwhile the pod may have left, and come back as another.
    if (proof?.to !== to || !to.isOpen) return undefined;
    const tunnel = new LocalTunnel(
      {
        peer: { ip: source, port: from.port },
        localIp: ip,
        peerIdentity: proof.pair.clientIdentity,
        authority: order.authority,
        headers: order.headers,
        targetName: formatSocketAddress(order.upstream),
      },
      near,
    );
    this.tunnels.set(tunnel, proof);
    const forget = (): boolean => this.tunnels.delete(tunnel);
    try {
      const move = await tunnel.connect(to);
      return (downstream) => move(downstream).finally(forget);
    } catch (error) {
      forget();
      throw error;
    }
  }

  /** Cuts what a changed revocation list doesn't allow any more. */
  cutRevoked(): void {
    const known = new Map<Proof, Refusals>();
    const refusalsOf = (proof: Proof): Refusals => {
      const refusals = known.get(proof) ?? this.check(proof);
      known.set(proof, refusals);
      return refusals;
    };
    for (const [key, proof] of this.proofs) {
      const { ofClient, ofServer } = refusalsOf(proof);
      if (ofClient !== undefined || ofServer !== undefined) this.proofs.delete(key);
    }
    for (const [tunnel, proof] of this.tunnels) {
      const { ofClient, ofServer } = refusalsOf(proof);
      if (ofClient !== undefined || ofServer !== undefined) tunnel.cut({ near: ofServer, far: ofClient });
    }
  }

  private check({ pair, client, server }: Proof): Refusals {
    const { revocation } = this.options;
    return {
      ofClient: revocation.check(pair.client, server),
      ofServer: revocation.check(pair.server, client),
    };
  }

  private proofOf(order: TunnelOrder, to: LocalPodEnd): Promise<Proof | undefined> | Proof {
    const key = JSON.stringify([order.identity, order.sameNode?.podUid, order.acceptableIdentities]);
    const known = this.proofs.get(key);
    if (known?.to === to && known.validUntil > Date.now()) return known;
    let proving = this.proving.get(key);
    if (proving === undefined) {
      proving = this.prove(order, to)
        .then((proof) => this.remember(key, proof))
        .catch(() => undefined) // HBONE will fail as well, and tell
        .finally(() => this.proving.delete(key));
      this.proving.set(key, proving);
    }
    return proving;
  }

  private async prove({ identity, acceptableIdentities }: TunnelOrder, to: LocalPodEnd): Promise<Proof> {
    const { handshake, certificateFor, maxAgeMs } = this.options;
    const [client, server] = await Promise.all([
      certificateFor(identity as SpiffeId), // made by the control thread from a workload
      to.serverCertificate(),
    ]);
    const signal = AbortSignal.timeout(PROOF_TIMEOUT_MS);
    const pair = await handshake.prove({ client, server, acceptable: acceptableIdentities, signal });
    const validUntil = Math.min(Date.now() + maxAgeMs, client.notAfter.getTime(), server.notAfter.getTime());
    return { pair, client, server, to, validUntil };
  }

  private remember(key: string, proof: Proof): Proof | undefined {
    // The lists may have changed during the handshake.
    const { ofClient, ofServer } = this.check(proof);
    if (ofClient !== undefined || ofServer !== undefined) return undefined;
    const [oldest] = this.proofs.keys();
    this.proofs.delete(key);
    if (this.proofs.size >= MAX_PROOFS && oldest !== undefined) this.proofs.delete(oldest);
    this.proofs.set(key, proof);
    return proof;
  }
}

/** Who waits doesn't wait longer than its connection lives. */
function unlessAborted<T>(promise: Promise<T> | T, signal: CancelSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    void Promise.resolve(promise)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort));
  });
}
