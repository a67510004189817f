import type { ByteStream } from '../../engine/types.ts';
import type {
  ConnectionEnd,
  HttpClientCodec,
  HttpClientEvents,
  HttpCodecOptions,
  HttpStream,
  HttpStreamEvents,
} from '../codec.ts';
import { MessageStream } from './message-stream.ts';
import { Http2Session, type SessionOwner } from './session.ts';

const DEFAULT_MAX_STREAMS = 1_024;

class Http2ClientCodec implements HttpClientCodec, SessionOwner {
  readonly protocol = 'HTTP/2';
  private readonly events: HttpClientEvents;
  private readonly session: Http2Session;
  private readonly ownLimit: number;
  /** Streams that were given out and sent no head yet: they hold a place. */
  private readonly unopened = new Set<MessageStream>();
  private draining = false;

  constructor(connection: ByteStream, events: HttpClientEvents, options: HttpCodecOptions) {
    this.events = events;
    this.ownLimit = options.maxConcurrentStreams ?? DEFAULT_MAX_STREAMS;
    this.session = new Http2Session('client', connection, this, options);
  }

  get activeStreams(): number {
    return this.session.connection.streams.size + this.reserved();
  }

  get maxConcurrentStreams(): number {
    return Math.min(this.ownLimit, this.session.connection.peer.maxConcurrentStreams);
  }

  get canOpen(): boolean {
    return this.session.canOpen && this.activeStreams < this.maxConcurrentStreams;
  }

  get usable(): boolean {
    return this.session.usable;
  }

  openStream(events: HttpStreamEvents): HttpStream | undefined {
    if (!this.canOpen) return undefined;
    const stream = new MessageStream(this.session, 'client');
    stream.attach(events);
    this.unopened.add(stream);
    return stream;
  }

  drain(): void {
    this.session.drain();
  }

  close(error?: Error): void {
    this.session.destroy(error);
  }

  onRequest(): void {
    // A server opens no streams without push.
  }

  onChange(): void {
    const { session } = this;
    // The session calls this during its own construction.
    if (session === undefined) return;
    if (!session.usable && !this.draining) {
      this.draining = true;
      this.events.onDraining();
    } else if (session.canOpen) this.events.onCapacity();
  }

  onClose(end: ConnectionEnd): void {
    for (const stream of this.unopened) {
      if (stream.codec === undefined) stream.onLost(end.error ?? new Error('connection termination'));
    }
    this.unopened.clear();
    this.events.onClose(end);
  }

  private reserved(): number {
    for (const stream of this.unopened) {
      if (stream.codec !== undefined || stream.isGone) this.unopened.delete(stream);
    }
    return this.unopened.size;
  }
}

/** HTTP/2 with prior knowledge, or after ALPN `h2`. */
export function createHttp2ClientCodec(
  connection: ByteStream,
  events: HttpClientEvents,
  options: HttpCodecOptions = {},
): HttpClientCodec {
  return new Http2ClientCodec(connection, events, options);
}
