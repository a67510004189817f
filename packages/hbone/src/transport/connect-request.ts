import type { X509Certificate } from 'node:crypto';
import type { SpiffeId } from '@weft/spiffe';
import { Cancellation, type CancelSignal } from './cancellation.ts';
import type { Authority } from '../headers/authority.ts';
import type { FlatFields } from '../http2/hpack/decoder.ts';
import type { RequestHead } from '../http2/message-head.ts';
import type { TunnelSession } from './session.ts';
import type { SessionStream } from './session-stream.ts';
import type { TunnelStream } from './tunnel-stream.ts';

/** A CONNECT that waits for its answer. What the client sends meanwhile waits in the stream's window. */
export interface ConnectRequest {
  /** As sent, and parsed. */
  readonly authority: string;
  readonly target: Authority;
  readonly headers: ReadonlyMap<string, string>;
  /** The connection it came on. */
  readonly session: TunnelSession;
  readonly peerIdentity: SpiffeId | undefined;
  readonly peerCertificate: X509Certificate;
  /** IPv4 addresses are plain, also on a dual-stack socket. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Aborted when the client gives up before the answer, or its connection is lost. */
  readonly signal: CancelSignal;
  /** Answers 200. The stream of a client that is already gone reports its close when it is attached. */
  accept(headers?: HeaderFields): TunnelStream;
  /** Answers with the status alone. */
  reject(status: number, headers?: HeaderFields): void;
}

/** Names in lower case; order is kept on the wire. */
export type HeaderFields = Readonly<Record<string, string>>;

export class SessionConnectRequest implements ConnectRequest {
  readonly authority: string;
  readonly target: Authority;
  readonly headers: ReadonlyMap<string, string>;
  readonly session: TunnelSession;
  private readonly stream: SessionStream;
  private answered = false;
  readonly signal = new Cancellation();

  constructor(session: TunnelSession, stream: SessionStream, head: RequestHead, target: Authority) {
    this.session = session;
    this.stream = stream;
    this.authority = head.authority;
    this.target = target;
    this.headers = head.headers;
    stream.onAbandoned = () => {
      this.settle();
      this.signal.abort(new Error('the client gave up'));
    };
  }

  get peerIdentity(): SpiffeId | undefined {
    return this.session.peerIdentity;
  }
  get peerCertificate(): X509Certificate {
    return this.session.peerCertificate;
  }
  get remoteAddress(): string {
    return this.session.remoteAddress;
  }
  get remotePort(): number {
    return this.session.remotePort;
  }
  get localAddress(): string {
    return this.session.localAddress;
  }
  get localPort(): number {
    return this.session.localPort;
  }

  accept(headers: HeaderFields = {}): TunnelStream {
    if (this.settle()) this.session.respond(this.stream, responseFields(200, headers), false);
    return this.stream;
  }

  reject(status: number, headers: HeaderFields = {}): void {
    if (this.settle()) this.session.respond(this.stream, responseFields(status, headers), true);
  }

  private settle(): boolean {
    if (this.answered) return false;
    this.answered = true;
    this.stream.onAbandoned = undefined;
    return true;
  }
}

function responseFields(status: number, headers: HeaderFields): FlatFields {
  return [':status', String(status), ...Object.entries(headers).flat()];
}
