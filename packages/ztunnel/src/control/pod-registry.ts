import type { Config } from '../config.ts';
import type { DataThreads } from './data-threads.ts';
import type { DnsProxies } from '../dns/dns-proxies.ts';
import type { ListenerKind, SocketSettings } from '../data/messages.ts';
import { podKey, type LocalPod } from '../state/workload-store.ts';

/** What stands for the proxy's own pod among the pods. No Kubernetes UID looks like it. */
export const SELF = 'self';
/** And what stands for the one pod of a dedicated proxy. */
export const DEDICATED = 'dedicated';

const SOCKS: readonly ListenerKind[] = ['socks5'];

/** The pods whose listeners are open (or about to be), and who they are. */
export class PodRegistry {
  private readonly threads: DataThreads;
  private readonly ports: readonly ListenerKind[];
  private readonly sockets: SocketSettings;
  private readonly dns: DnsProxies | undefined;
  private readonly pods = new Map<string, LocalPod>();
  /** Pods that the node agent handed over, latest, by `podKey`. */
  private readonly uids = new Map<string, string>();

  /** @param dns undefined if DNS isn't captured */
  constructor(
    threads: DataThreads,
    { sockets, socks5, proxyEnabled }: Pick<Config, 'sockets' | 'socks5' | 'proxyEnabled'>,
    dns: DnsProxies | undefined,
  ) {
    this.ports = proxyEnabled ? ['outbound', 'inbound-plaintext', 'hbone', ...(socks5 ? SOCKS : [])] : [];
    this.threads = threads;
    this.sockets = sockets;
    this.dns = dns;
  }

  podOf(uid: string): LocalPod | undefined {
    return this.pods.get(uid);
  }

  uidOf(pod: LocalPod): string | undefined {
    return this.uids.get(podKey(pod));
  }

  /** @param namespaceFd stays the caller's, open until `stop`; undefined for the process's own namespace */
  async start(podUid: string, pod: LocalPod, namespaceFd: number | undefined): Promise<void> {
    // First: the listeners may get connections before this resolves.
    this.pods.set(podUid, pod);
    if (podUid !== DEDICATED) this.uids.set(podKey(pod), podUid);
    try {
      await this.threads.openPod({
        podUid,
        namespaceFd,
        ports: this.ports,
        sockets: this.sockets,
      });
      await this.dns?.open(podUid, namespaceFd);
    } catch (error) {
      await this.stop(podUid);
      throw error;
    }
  }

  async stop(uid: string): Promise<void> {
    this.dns?.close(uid);
    const pod = this.pods.get(uid);
    if (pod !== undefined && this.uidOf(pod) === uid) this.uids.delete(podKey(pod));
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
