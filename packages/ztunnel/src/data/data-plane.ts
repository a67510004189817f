import { MemoryHandshake, Reactor, TunnelResources } from '@weft/hbone';
import { DescriptorTable } from '@weft/linux';
import type { SpiffeId, WorkloadCertificate } from '@weft/spiffe';
import { describeError, WeftError } from '@weft/telemetry/errors';
import { cpuProfile } from '@weft/telemetry/profiling';
import { CertificateCache } from './certificate-cache.ts';
import { Connections } from './connection.ts';
import type { CertificatePems, DataThreadSettings, PodListeners, ToControl, ToData } from './messages.ts';
import { PodProxy } from './pod-proxy.ts';
import type { IpAddress } from '../state/ip-address.ts';
import { Revocation } from './revocation.ts';
import { SameNodeTunnels } from './same-node.ts';

/** How long a handshake waits for its certificate. */
const CERTIFICATE_TIMEOUT_MS = 10_000;

/** All of one data thread: executes orders, decides nothing. */
export class DataPlane {
  private readonly settings: DataThreadSettings;
  private readonly post: (message: ToControl) => void;
  private readonly pods = new Map<string, PodProxy>();
  private readonly connections: Connections;
  private readonly resources = new TunnelResources();
  private readonly certificates = new CertificateCache();
  private readonly revocation = new Revocation();
  private readonly waiting = new Map<number, (answer: Extract<ToData, { kind: 'certificate' }>) => void>();
  private readonly resolving = new Map<number, (ip: IpAddress | undefined) => void>();
  /** The fast engine's. */
  private readonly reactor: Reactor | undefined;
  private readonly sameNode: SameNodeTunnels;
  private nextCall = 1;

  constructor(settings: DataThreadSettings, post: (message: ToControl) => void) {
    this.settings = settings;
    const { engine, tunnels } = settings;
    this.reactor = engine.kind === 'fast' ? new Reactor(new DescriptorTable(engine.descriptors)) : undefined;
    this.post = post;
    this.connections = new Connections(settings.threadNumber, post);
    this.sameNode = new SameNodeTunnels({
      handshake: new MemoryHandshake(tunnels.tls, (peer, own) => this.revocation.check(peer, own)),
      revocation: this.revocation,
      certificateFor: (identity) => this.certificate({ identity }),
      podAt: (podUid) => this.pods.get(podUid),
      maxAgeMs: tunnels.unusedReleaseMs,
    });
  }

  /** The thread ends. */
  close(): void {
    this.reactor?.close();
  }

  onMessage(message: ToData): void {
    switch (message.kind) {
      case 'stop':
        return process.exit();
      case 'order':
        return this.connections.onOrder(message.connection, message.order);
      case 'cut':
        return this.connections.cut(message.connection, message.why);
      case 'certificate': {
        const resolve = this.waiting.get(message.call);
        this.waiting.delete(message.call);
        return resolve?.(message);
      }
      case 'revocations':
        this.revocation.replace(message.bytes);
        for (const pod of this.pods.values()) pod.cutRevoked();
        return this.sameNode.cutRevoked();
      case 'resolved': {
        const resolve = this.resolving.get(message.call);
        this.resolving.delete(message.call);
        return resolve?.(message.ip);
      }
      case 'open-pod':
        return void this.openPod(message.call, message.pod);
      case 'close-pod':
        this.pods.get(message.podUid)?.destroy();
        this.pods.delete(message.podUid);
        return this.post({ kind: 'answer', call: message.call });
      case 'profile':
        return void cpuProfile(message.options).then(
          (profile) => this.post({ kind: 'answer', call: message.call, profile }),
          (error: unknown) => this.post({ kind: 'answer', call: message.call, error: describeError(error) }),
        );
      case 'drain':
        return void this.drain(message.call);
    }
  }

  private async drain(call: number): Promise<void> {
    await Promise.all([...this.pods.values()].map((pod) => pod.drain()));
    await this.connections.empty();
    this.post({ kind: 'answer', call });
  }

  private async openPod(call: number, pod: PodListeners): Promise<void> {
    try {
      if (this.pods.has(pod.podUid)) throw new Error(`pod ${pod.podUid} is open already`);
      const proxy = await PodProxy.open({
        pod,
        tunnels: this.settings.tunnels,
        reactor: this.reactor,
        connections: this.connections,
        resources: this.resources,
        revocation: this.revocation,
        sameNode: this.sameNode,
        serverCertificate: () => this.certificate({ podUid: pod.podUid }),
        certificateFor: (identity: SpiffeId) => this.certificate({ identity }),
        resolve: (podUid, hostname, family) => this.resolve(podUid, hostname, family),
        onTrouble: (peer, failure) => this.post({ kind: 'trouble', podUid: pod.podUid, peer, failure }),
      });
      this.pods.set(pod.podUid, proxy);
      this.post({ kind: 'answer', call, transparent: proxy.isTransparent });
    } catch (error) {
      this.post({ kind: 'answer', call, error: describeError(error) });
    }
  }

  /** The control thread answers every question; how long it takes is bounded there. */
  private resolve(podUid: string, hostname: string, family: 4 | 6): Promise<IpAddress | undefined> {
    return new Promise((resolve) => {
      const call = this.nextCall++;
      this.resolving.set(call, resolve);
      this.post({ kind: 'resolve', call, podUid, hostname, family });
    });
  }

  private certificate(
    of: { readonly podUid: string } | { readonly identity: SpiffeId },
  ): Promise<WorkloadCertificate> {
    return new Promise((resolve, reject) => {
      const call = this.nextCall++;
      const settle = (pems: CertificatePems | undefined, error: string): void => {
        clearTimeout(timer);
        this.waiting.delete(call);
        if (pems === undefined) return reject(new WeftError('WEFT1318', error));
        resolve(this.certificates.of(pems));
      };
      const timer = setTimeout(() => settle(undefined, 'no certificate in time'), CERTIFICATE_TIMEOUT_MS);
      this.waiting.set(call, ({ pems, error }) => settle(pems, error ?? 'no certificate'));
      this.post({ kind: 'certificate', call, of });
    });
  }
}
