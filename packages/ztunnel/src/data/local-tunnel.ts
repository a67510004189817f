import {
  Cancellation,
  ConnectRefusedError,
  failedBehindTunnel,
  type RelayEnd,
  type RelayRecord,
} from '@weft/hbone';
import { WeftError } from '@weft/telemetry/errors';
import type { Connection } from './connection.ts';
import { failureOf } from './failure.ts';
import type { IncomingTunnel } from './incoming-tunnel.ts';
import type { ConnectionId, HeaderList } from './messages.ts';
import { move } from './move.ts';
import { formatSocketAddress, type IpAddress, type SocketAddress } from '../state/ip-address.ts';

export interface LocalRequest {
  readonly peer: SocketAddress;
  readonly localIp: IpAddress;
  readonly peerIdentity: string | undefined;
  readonly authority: string;
  readonly headers: HeaderList;
  /** How errors name the other end of the tunnel. */
  readonly targetName: string;
}

/** Who serves CONNECTs of a pod. */
export interface TunnelServer {
  serveTunnel(tunnel: IncomingTunnel): Promise<void>;
}

interface Accepted {
  readonly upstream: RelayEnd;
  readonly far: Connection;
}

/**
 * A tunnel between two pods of one data thread: each end has its connection, its cut and its failure as if there were
 * HBONE between them, but the bytes go from socket to socket.
 */
export class LocalTunnel implements IncomingTunnel {
  readonly peer: SocketAddress;
  readonly localIp: IpAddress;
  readonly peerIdentity: string | undefined;
  readonly authority: string;
  readonly headers: HeaderList;
  readonly relayOf: ConnectionId;
  private readonly targetName: string;
  private readonly near: Connection;
  private far: Connection | undefined;
  /** Called off when the client gives up before the answer. */
  readonly signal = new Cancellation();
  private answer:
    | { readonly accepted: (end: Accepted) => void; readonly refused: (error: unknown) => void }
    | undefined;
  private farEnd: { readonly ended: () => void; readonly failed: (error: unknown) => void } | undefined;

  constructor(request: LocalRequest, near: Connection) {
    this.peer = request.peer;
    this.localIp = request.localIp;
    this.peerIdentity = request.peerIdentity;
    this.authority = request.authority;
    this.headers = request.headers;
    this.targetName = request.targetName;
    this.relayOf = near.id;
    this.near = near;
  }

  /**
   * Resolves, when the pod has accepted, with what moves the bytes.
   * @throws WEFT1206 refused, or the reason of the near end's signal
   */
  async connect(server: TunnelServer): Promise<(downstream: RelayEnd) => Promise<void>> {
    const { signal } = this.near;
    if (signal.aborted) throw signal.reason;
    const onCut = (): void => {
      this.settled()?.refused(signal.reason);
      this.signal.abort(signal.reason);
    };
    signal.addEventListener('abort', onCut, { once: true });
    const accepted = new Promise<Accepted>((resolve, reject) => {
      this.answer = { accepted: resolve, refused: reject };
    }).finally(() => signal.removeEventListener('abort', onCut));
    void server.serveTunnel(this);
    const end = await accepted;
    return (downstream) => this.move(downstream, end);
  }

  /** Each end that refuses the other by now; one that doesn't only sees the tunnel close. */
  cut(refusals: { readonly near: WeftError | undefined; readonly far: WeftError | undefined }): void {
    const closedBy = (name: string): WeftError => new WeftError('WEFT1207', `${name} closed the connection`);
    const far = refusals.far ?? closedBy(formatSocketAddress(this.peer));
    this.far?.cut(failureOf(far, 'WEFT1325'));
    this.near.cut(failureOf(refusals.near ?? closedBy(this.targetName), 'WEFT1325'));
  }

  accept(_headers: HeaderList, upstream: RelayEnd, far: Connection): () => Promise<void> {
    const end = new Promise<void>((ended, failed) => {
      this.farEnd = { ended, failed };
    });
    const answer = this.settled();
    if (answer !== undefined) {
      this.far = far;
      answer.accepted({ upstream, far });
    } else {
      // The client went away in the meantime.
      upstream.abort();
      this.farEnd?.failed(failedBehindTunnel());
    }
    return () => end;
  }

  reject(status: number): void {
    this.settled()?.refused(new ConnectRefusedError(status, this.authority, this.targetName));
  }

  /** Whoever gets it answers; nobody does after that. */
  private settled(): LocalTunnel['answer'] {
    const { answer } = this;
    this.answer = undefined;
    return answer;
  }

  private async move(downstream: RelayEnd, { upstream, far }: Accepted): Promise<void> {
    const { near, farEnd } = this;
    const record = new SharedRecord(near, far);
    const cut = new Cancellation();
    const signals = [near.signal, far.signal];
    const onCut = (): void => cut.abort(signals.find(({ aborted }) => aborted)?.reason);
    for (const signal of signals) signal.addEventListener('abort', onCut, { once: true });
    if (signals.some(({ aborted }) => aborted)) onCut();
    try {
      await move(downstream, upstream, record, cut);
      farEnd?.ended();
    } catch (error) {
      const [isNearCut, isFarCut] = [near.signal.aborted, far.signal.aborted];
      const { failedEnd } = record;
      const isNears = isNearCut || failedEnd === 'downstream';
      const isFars = isFarCut || failedEnd === 'upstream';
      // What happened at one end, the other hears of as of a tunnel's reset.
      farEnd?.failed(isFarCut ? far.signal.reason : isNears ? failedBehindTunnel() : error);
      throw isNearCut ? near.signal.reason : isFars ? failedBehindTunnel() : error;
    } finally {
      for (const signal of signals) signal.removeEventListener('abort', onCut);
    }
  }
}

/** Both ends count the same bytes. */
class SharedRecord implements RelayRecord {
  failedEnd: RelayRecord['failedEnd'];
  private readonly near: Connection;
  private readonly far: Connection;

  constructor(near: Connection, far: Connection) {
    this.near = near;
    this.far = far;
  }

  get received(): number {
    return this.near.received;
  }
  set received(bytes: number) {
    this.near.received = bytes;
    this.far.received = bytes;
  }
  get sent(): number {
    return this.near.sent;
  }
  set sent(bytes: number) {
    this.near.sent = bytes;
    this.far.sent = bytes;
  }
}
