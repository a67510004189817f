import { istio } from '@weft/api/workload';
import {
  SeqpacketServer,
  closeDescriptor,
  type NetworkNamespace,
  type SeqpacketConnection,
} from '@weft/linux';
import { WeftError, describeError, systemClock, type Clock, type Logger } from '@weft/telemetry';

const { WorkloadRequest, WorkloadResponse, ZdsHello, Version } = istio.workload.zds;

/** What ztunnel needs to know of a pod. */
export interface ZdsPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly netns: NetworkNamespace;
}

export type SnapshotEntry =
  | { readonly kind: 'add'; readonly pod: ZdsPod }
  /** A pod whose namespace can't be found now: ztunnel keeps what it has of it. */
  | { readonly kind: 'keep'; readonly uid: string };

export interface ZdsServerOptions {
  readonly path: string;
  /** Everything that is enrolled now; called for each ztunnel that connects, once the agent knows its pods. */
  readonly snapshot: () => Promise<readonly SnapshotEntry[]>;
  /** How a pod of a snapshot fared. */
  readonly onSnapshotResult: (uid: string, error: WeftError | undefined) => void;
  /** The number of connected ztunnels that have their snapshot. */
  readonly onConnectedChange: (connected: number) => void;
  /** A peer was cut off. */
  readonly onError?: (error: WeftError) => void;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** Both ends bound each step by this. */
const STEP_TIMEOUT_MS = 5_000;
/** During an upgrade there are two, in a crash loop perhaps a few. */
const MAX_ZTUNNELS = 8;

/**
 * The agent's end of ZDS. One connection:
 *
 *     connected ──ZdsHello──▶ snapshot ──SnapshotSent acknowledged──▶ live ──▶ closed
 *
 * Strictly one request, then its acknowledgement. Additions go to the newest ztunnel, removals to all, so that
 * during an upgrade the old one lets go of pods too. A ztunnel that breaks the protocol or misses a deadline is cut
 * off; it connects again and gets a new snapshot.
 */
export class ZdsServer {
  private readonly server: SeqpacketServer;
  private readonly options: ZdsServerOptions;
  /** Past their hello, oldest first; what is asked of one that gets its snapshot waits behind it. */
  private readonly ztunnels: ZtunnelConnection[] = [];

  constructor(options: ZdsServerOptions) {
    this.options = options;
    this.server = SeqpacketServer.listen(options.path, (c) => void this.serve(c), {
      maxConnections: MAX_ZTUNNELS,
    });
  }

  get connected(): number {
    return this.ztunnels.filter((z) => z.live).length;
  }

  /** Resolves once the newest ztunnel listens in the pod. Throws WEFT1702 without a ztunnel, WEFT1703 if it refuses. */
  async add(pod: ZdsPod): Promise<void> {
    const newest = this.ztunnels.at(-1);
    if (newest === undefined)
      throw new WeftError('WEFT1702', `no ztunnel is connected to ${this.options.path}`);
    await newest.add(pod);
  }

  /** Tells every ztunnel to let go of a pod. Without a ztunnel there is nothing to let go. */
  async remove(uid: string): Promise<void> {
    const results = await Promise.allSettled(
      this.ztunnels.map((ztunnel) => ztunnel.request({ del: { uid } })),
    );
    for (const result of results) {
      if (result.status === 'rejected') {
        this.options.logger.warn('ztunnel did not let go of a pod', {
          uid,
          error: describeError(result.reason),
        });
      }
    }
  }

  close(): void {
    this.server.close();
    this.ztunnels.length = 0;
  }

  private async serve(raw: SeqpacketConnection): Promise<void> {
    const { logger, clock = systemClock, snapshot, onSnapshotResult, onConnectedChange } = this.options;
    const ztunnel = new ZtunnelConnection(raw, clock, (reason) => {
      const index = this.ztunnels.indexOf(ztunnel);
      if (index >= 0) this.ztunnels.splice(index, 1);
      logger.info('ztunnel disconnected', { reason });
      onConnectedChange(this.connected);
    });
    try {
      await ztunnel.hello();
      logger.info('ztunnel connected');
      this.ztunnels.push(ztunnel);
      await ztunnel.exclusively(async (request) => {
        for (const entry of await snapshot()) {
          if (entry.kind === 'keep') {
            await request({ keep: { uid: entry.uid } });
            continue;
          }
          const { pod } = entry;
          // Let go of since the list was made; whatever took its place is added behind the snapshot.
          if (pod.netns.fd === -1) continue;
          try {
            await request(addMessage(pod), [pod.netns.fd]);
            onSnapshotResult(pod.uid, undefined);
          } catch (error) {
            if (!(error instanceof RefusedError)) throw error;
            onSnapshotResult(pod.uid, new WeftError('WEFT1703', `ztunnel: ${error.message}`));
          }
        }
        await request({ snapshotSent: {} });
        ztunnel.live = true;
      });
      onConnectedChange(this.connected);
    } catch (error) {
      const failure = WeftError.is(error) ? error : new WeftError('WEFT1707', 'ztunnel', { cause: error });
      logger.warn('ztunnel cut off', { error: describeError(failure) });
      this.options.onError?.(failure);
      ztunnel.close('protocol error');
    }
  }
}

type RequestMessage = Parameters<typeof WorkloadRequest.encode>[0];
type Send = (message: RequestMessage, fds?: readonly number[]) => Promise<void>;

function addMessage({ uid, name, namespace, serviceAccount }: ZdsPod): RequestMessage {
  return { add: { uid, workloadInfo: { name, namespace, serviceAccount } } };
}

function decodeHello(packet: Buffer): ReturnType<typeof ZdsHello.decode> {
  try {
    return ZdsHello.decode(packet);
  } catch (error) {
    throw new WeftError('WEFT1707', 'the first packet is no hello', { cause: error });
  }
}

/** ztunnel's own words for why it did not take a pod; the connection is still good. */
class RefusedError extends Error {}

class ZtunnelConnection {
  /** Has its snapshot. */
  live = false;
  private readonly connection: SeqpacketConnection;
  private readonly clock: Clock;
  private readonly onEnd: (reason: string) => void;
  private waiter: { resolve: (packet: Buffer) => void; reject: (error: Error) => void } | undefined;
  private early: Buffer | undefined;
  private queue: Promise<unknown> = Promise.resolve();
  private ended: string | undefined;

  constructor(connection: SeqpacketConnection, clock: Clock, onEnd: (reason: string) => void) {
    this.connection = connection;
    this.clock = clock;
    this.onEnd = onEnd;
    connection.onPacket = ({ bytes, fds, truncated }) => {
      fds.forEach(closeDescriptor);
      if (truncated || fds.length > 0) return this.close('broken packet');
      if (this.waiter !== undefined) this.waiter.resolve(bytes);
      // Only the hello may come before we wait for anything.
      else if (this.early === undefined) this.early = bytes;
      else this.close('unsolicited packet');
    };
    connection.onClose = (error) =>
      this.close(error === undefined ? 'closed by ztunnel' : describeError(error));
  }

  async hello(): Promise<void> {
    const packet = this.early ?? (await this.receive());
    this.early = undefined;
    const { version } = decodeHello(packet);
    if (version !== Version.V1)
      throw new WeftError('WEFT1707', `ztunnel speaks ZDS version ${version}, not 1`);
  }

  async add(pod: ZdsPod): Promise<void> {
    try {
      await this.request(addMessage(pod), [pod.netns.fd]);
    } catch (error) {
      throw new WeftError('WEFT1703', `pod ${pod.namespace}/${pod.name}`, { cause: error });
    }
  }

  request(message: RequestMessage, fds?: readonly number[]): Promise<void> {
    return this.exclusively((send) => send(message, fds));
  }

  /** Runs a sequence of requests with nothing between them. */
  exclusively(work: (send: Send) => Promise<void>): Promise<void> {
    const result = this.queue.then(() => work((message, fds) => this.exchange(message, fds)));
    this.queue = result.catch(() => undefined);
    return result;
  }

  close(reason: string): void {
    if (this.ended !== undefined) return;
    this.ended = reason;
    this.connection.close();
    this.waiter?.reject(new WeftError('WEFT1707', `ztunnel: ${reason}`));
    this.onEnd(reason);
  }

  private async exchange(message: RequestMessage, fds: readonly number[] = []): Promise<void> {
    if (this.ended !== undefined) throw new WeftError('WEFT1707', `ztunnel: ${this.ended}`);
    const answer = this.receive();
    try {
      this.connection.send(WorkloadRequest.encode(message).finish(), fds);
    } catch (error) {
      this.close(describeError(error));
    }
    const { ack } = this.decode(await answer);
    if (ack === null || ack === undefined) {
      this.close('answered without an acknowledgement');
      throw new WeftError('WEFT1707', 'ztunnel answered without an acknowledgement');
    }
    if (ack.error) throw new RefusedError(ack.error);
  }

  private decode(packet: Buffer): ReturnType<typeof WorkloadResponse.decode> {
    try {
      return WorkloadResponse.decode(packet);
    } catch (error) {
      this.close('undecodable answer');
      throw new WeftError('WEFT1707', 'ztunnel sent an undecodable answer', { cause: error });
    }
  }

  private async receive(): Promise<Buffer> {
    if (this.ended !== undefined) throw new WeftError('WEFT1707', `ztunnel: ${this.ended}`);
    let cancel = (): void => undefined;
    try {
      return await new Promise<Buffer>((resolve, reject) => {
        this.waiter = { resolve, reject };
        cancel = this.clock.schedule(STEP_TIMEOUT_MS, () =>
          this.close(`no answer within ${STEP_TIMEOUT_MS} ms`),
        );
      });
    } finally {
      cancel();
      this.waiter = undefined;
    }
  }
}
