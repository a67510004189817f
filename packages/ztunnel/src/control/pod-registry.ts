import type { NetworkNamespace } from '@weft/linux';
import type { DataThreads } from './data-threads.ts';
import type { SocketSettings } from '../data/messages.ts';
import type { Pod, PodProxies } from '../inpod/pod-manager.ts';
import type { LocalPod } from '../state/workload-store.ts';

/** What stands for the proxy's own pod among the pods. No Kubernetes UID looks like it. */
export const SELF = 'self';

/** The pods whose listeners are open (or about to be), and who they are. */
export class PodRegistry implements PodProxies {
  private readonly threads: DataThreads;
  private readonly sockets: SocketSettings;
  private readonly pods = new Map<string, LocalPod>();

  constructor(threads: DataThreads, sockets: SocketSettings) {
    this.threads = threads;
    this.sockets = sockets;
  }

  podOf(uid: string): LocalPod | undefined {
    return this.pods.get(uid);
  }

  async start(pod: Pod, namespace: NetworkNamespace): Promise<void> {
    // First: the listeners may get connections before this resolves.
    this.pods.set(pod.uid, pod);
    try {
      await this.threads.openPod({
        podUid: pod.uid,
        namespaceFd: namespace.fd,
        ports: ['outbound', 'inbound-plaintext', 'hbone'],
        sockets: this.sockets,
      });
    } catch (error) {
      this.pods.delete(pod.uid);
      throw error;
    }
  }

  async stop(uid: string): Promise<void> {
    await this.threads.closePod(uid);
    this.pods.delete(uid);
  }

  /** Serves the proxy's own pod over HBONE, so that its metrics can be scraped with mTLS. */
  async startSelf(self: LocalPod): Promise<void> {
    this.pods.set(SELF, self);
    await this.threads.openPod({
      podUid: SELF,
      namespaceFd: undefined,
      ports: ['hbone'],
      sockets: { ...this.sockets, mark: undefined, reusePort: false, transparent: 'never' },
    });
  }
}
