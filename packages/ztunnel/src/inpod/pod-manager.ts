import type { NetworkNamespace } from '@weft/linux';
import { describeError, WeftError, type Logger } from '@weft/telemetry';
import type { LocalPod } from '../state/workload-store.ts';

export interface Pod extends LocalPod {
  /** The Kubernetes UID. */
  readonly uid: string;
}

/** Whoever opens and closes the listeners of a pod. */
export interface PodProxies {
  /** Resolves once every listener is open. The namespace stays the caller's, open until `stop`. */
  start(pod: Pod, namespace: NetworkNamespace): Promise<void>;
  /** Closes listeners and cuts connections at once. Never fails. */
  stop(uid: string): Promise<void>;
}

/** The agent did what no correct agent does; continuing would guess at the state of the node. */
export class ZdsViolation extends WeftError {
  constructor(message: string) {
    super('WEFT1331', message);
  }
}

type PodState =
  | {
      readonly kind: 'pending';
      readonly pod: Pod;
      readonly namespace: NetworkNamespace;
      readonly error: string;
    }
  | { readonly kind: 'up'; readonly pod: Pod; readonly namespace: NetworkNamespace };

export interface PodManagerOptions {
  readonly proxies: PodProxies;
  readonly logger: Logger;
  /** Called after every change of readiness or of the set of pods. */
  readonly onChange?: () => void;
}

/**
 * Which pods this proxy serves, as the CNI agent tells it.
 *
 *              Add                 listeners open
 *     absent ───────▶ (starting) ─────────────────▶ up
 *       ▲                 │ failed        retry       │
 *       │                 ▼          ───────────────▶ │
 *       │               pending                       │
 *       │  Del, or SnapshotSent without it having been named, or the session ended (pending only)
 *       └──────────────────┴──────────────────────────┘
 *
 * A session is one connection: (Add | Keep)* SnapshotSent (Add | Del)*. Pods that are up outlive it. All
 * operations run one after the other, whoever calls them.
 */
export class PodManager {
  private readonly options: PodManagerOptions;
  private readonly pods = new Map<string, PodState>();
  private session: { snapshotDone: boolean; readonly named: Set<string> } | undefined;
  private tail: Promise<unknown> = Promise.resolve();
  readonly counts = { started: 0, stopped: 0 };

  constructor(options: PodManagerOptions) {
    this.options = options;
  }

  get ready(): boolean {
    return this.session?.snapshotDone === true && this.pendingCount === 0;
  }

  get activeCount(): number {
    return this.pods.size - this.pendingCount;
  }

  get pendingCount(): number {
    let count = 0;
    for (const { kind } of this.pods.values()) if (kind === 'pending') count++;
    return count;
  }

  *all(): Iterable<{ readonly pod: Pod; readonly state: 'Up' | 'Pending' }> {
    for (const { kind, pod } of this.pods.values()) yield { pod, state: kind === 'up' ? 'Up' : 'Pending' };
  }

  beginSession(): Promise<void> {
    return this.exclusively(() => {
      this.session = { snapshotDone: false, named: new Set() };
    });
  }

  /** The agent is gone. What runs goes on running; what didn't start is forgotten, as it will be sent again. */
  endSession(): Promise<void> {
    return this.exclusively(() => {
      this.session = undefined;
      for (const [uid, state] of this.pods) {
        if (state.kind === 'pending') this.forget(uid, state);
      }
    });
  }

  /** Takes ownership of the namespace. Rejects if the pod couldn't be started, which leaves it pending. */
  add(pod: Pod, namespace: NetworkNamespace): Promise<void> {
    return this.exclusively(async () => {
      this.session?.named.add(pod.uid);
      const present = this.pods.get(pod.uid);
      if (present?.kind === 'up' && present.namespace.id === namespace.id && isSame(present.pod, pod)) {
        namespace.close();
        return;
      }
      if (present !== undefined) await this.stop(pod.uid, present);
      await this.start(pod, namespace);
    });
  }

  /** Before the snapshot only: the pod is still there, though the agent couldn't find its namespace. */
  keep(uid: string): Promise<void> {
    return this.exclusively(() => {
      if (this.session === undefined || this.session.snapshotDone) {
        throw new ZdsViolation(`pod ${uid}: Keep after the snapshot`);
      }
      this.session.named.add(uid);
    });
  }

  delete(uid: string): Promise<void> {
    return this.exclusively(async () => {
      this.session?.named.delete(uid);
      const present = this.pods.get(uid);
      if (present !== undefined) await this.stop(uid, present);
    });
  }

  /** Everything that the snapshot didn't name is gone. */
  snapshotSent(): Promise<void> {
    return this.exclusively(async () => {
      const { session } = this;
      if (session === undefined || session.snapshotDone) throw new ZdsViolation('a second snapshot');
      for (const [uid, state] of this.pods) {
        if (!session.named.has(uid)) await this.stop(uid, state);
      }
      session.snapshotDone = true;
    });
  }

  /** Tries the pods again that couldn't be started. */
  retryPending(): Promise<void> {
    return this.exclusively(async () => {
      for (const state of this.pods.values()) {
        if (state.kind !== 'pending') continue;
        await this.start(state.pod, state.namespace).catch(() => undefined); // logged, and still pending
      }
    });
  }

  stopAll(): Promise<void> {
    return this.exclusively(async () => {
      for (const [uid, state] of this.pods) await this.stop(uid, state);
    });
  }

  private async start(pod: Pod, namespace: NetworkNamespace): Promise<void> {
    try {
      await this.options.proxies.start(pod, namespace);
      this.pods.set(pod.uid, { kind: 'up', pod, namespace });
      this.counts.started++;
    } catch (error) {
      this.pods.set(pod.uid, { kind: 'pending', pod, namespace, error: describeError(error) });
      const failure = new WeftError('WEFT1330', `pod ${pod.namespace}/${pod.name}`, { cause: error });
      this.options.logger.error(describeError(failure), { code: failure.code, pod: pod.uid });
      throw failure;
    }
  }

  private async stop(uid: string, state: PodState): Promise<void> {
    if (state.kind === 'up') {
      await this.options.proxies.stop(uid);
      this.counts.stopped++;
    }
    this.forget(uid, state);
  }

  private forget(uid: string, { namespace }: PodState): void {
    this.pods.delete(uid);
    namespace.close();
  }

  private exclusively(work: () => void | Promise<void>): Promise<void> {
    const done = this.tail.then(work).finally(() => this.options.onChange?.());
    this.tail = done.catch(() => undefined);
    return done;
  }
}

function isSame(a: Pod, b: Pod): boolean {
  return a.name === b.name && a.namespace === b.namespace && a.serviceAccount === b.serviceAccount;
}
