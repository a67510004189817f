import { istio } from '@weft/api/workload';
import { SeqpacketServer, type SeqpacketConnection } from '@weft/linux';
import type { SandboxPod } from './mesh-sandbox.ts';

const { WorkloadRequest, WorkloadResponse } = istio.workload.zds;

/** The CNI agent's side of ZDS: a snapshot for each new proxy, then one request at a time. */
export class FakeAgent {
  readonly server: SeqpacketServer;
  pods: () => Iterable<SandboxPod> = () => [];
  private connection: SeqpacketConnection | undefined;
  private answered: ((error: string) => void) | undefined;
  private tail: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.server = SeqpacketServer.listen(path, (connection) => {
      let isGreeted = false;
      connection.onPacket = ({ bytes }) => {
        if (isGreeted) return this.answered?.(WorkloadResponse.decode(bytes).ack?.error ?? '');
        isGreeted = true;
        this.connection = connection;
        this.sendSnapshot();
      };
      connection.onClose = () => {
        if (this.connection === connection) this.connection = undefined;
        this.answered?.('connection closed');
      };
    });
  }

  add(pod: SandboxPod): Promise<string> {
    return this.ask({ add: { uid: pod.name, workloadInfo: infoOf(pod) } }, [pod.namespace.fd]);
  }

  delete(uid: string): Promise<string> {
    return this.ask({ del: { uid } });
  }

  private sendSnapshot(): void {
    for (const pod of this.pods()) void this.add(pod);
    void this.ask({ snapshotSent: {} });
  }

  private ask(
    request: istio.workload.zds.WorkloadRequest.$Properties,
    fds: readonly number[] = [],
  ): Promise<string> {
    const done = this.tail.then(
      () =>
        new Promise<string>((resolve) => {
          if (this.connection === undefined) return resolve(''); // the next snapshot tells it
          this.answered = resolve;
          this.connection.send(WorkloadRequest.encode(request).finish(), fds);
        }),
    );
    this.tail = done;
    return done;
  }
}

function infoOf({ name }: SandboxPod): istio.workload.zds.WorkloadInfo.$Properties {
  return { name, namespace: 'default', serviceAccount: name };
}
