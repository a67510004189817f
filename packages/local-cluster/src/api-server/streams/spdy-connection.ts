import { Duplex } from 'node:stream';
import { SpdyHeaders, uint32 } from './spdy-headers.ts';

const MAX_FRAME_BYTES = 4 * 1024 * 1024;
/** Kubernetes clients don't use SPDY's windows: a stream this far ahead of its reader holds up the connection. */
const MAX_STREAM_BUFFER_BYTES = 1024 * 1024;
const MAX_STREAMS = 1_000;
const FLAG_FIN = 1;

const control = { synStream: 1, synReply: 2, rstStream: 3, ping: 6, goAway: 7 } as const;

/** One stream of a SPDY connection, with the headers it was opened with. */
export class SpdyStream extends Duplex {
  readonly headers: ReadonlyMap<string, string>;
  private readonly connection: SpdyConnection;
  private readonly id: number;
  private wakeReader: (() => void) | undefined;

  constructor(connection: SpdyConnection, id: number, headers: ReadonlyMap<string, string>) {
    super({ allowHalfOpen: true });
    this.connection = connection;
    this.id = id;
    this.headers = headers;
    this.on('error', () => undefined); // destroyed streams report to whoever listens; nobody has to
  }

  /** Hands over what arrived; resolves when the reader has room again. */
  async receive(data: Buffer, fin: boolean): Promise<void> {
    if (this.destroyed) return;
    if (data.length > 0) this.push(Buffer.from(data));
    if (fin) this.push(null);
    while (this.readableLength > MAX_STREAM_BUFFER_BYTES && !this.destroyed) {
      await new Promise<void>((resolve) => {
        this.wakeReader = resolve;
      });
    }
  }

  override _read(): void {
    this.wakeReader?.();
    this.wakeReader = undefined;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.connection.sendData(this.id, chunk, false, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.connection.sendData(this.id, Buffer.alloc(0), true, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.wakeReader?.();
    this.connection.forget(this.id, error !== null || !this.writableFinished);
    done(error);
  }
}

/**
 * The server side of SPDY/3.1 as far as Kubernetes clients use it: streams opened by the client, data, ping, reset.
 * Over a TLS socket after an upgrade, or over binary WebSocket messages.
 */
export class SpdyConnection {
  private readonly transport: Duplex;
  private readonly onStream: (stream: SpdyStream) => void;
  private readonly headers = new SpdyHeaders();
  private readonly streams = new Map<number, SpdyStream>();
  private isClosed = false;
  private resolveClosed: () => void = () => undefined;
  readonly closed = new Promise<void>((resolve) => {
    this.resolveClosed = resolve;
  });

  constructor(transport: Duplex, onStream: (stream: SpdyStream) => void) {
    this.transport = transport;
    this.onStream = onStream;
  }

  /** Serves until the client leaves. Never rejects: a broken connection is a closed one. */
  async run(): Promise<void> {
    try {
      let pending: Buffer = Buffer.alloc(0);
      for await (const chunk of this.transport) {
        pending = Buffer.concat([pending, chunk as Buffer]); // sockets and WebSocket streams yield Buffers
        let offset = 0;
        while (pending.length - offset >= 8) {
          const length = pending.readUIntBE(offset + 5, 3);
          if (length > MAX_FRAME_BYTES) throw new Error('SPDY frame is too large');
          if (pending.length - offset < 8 + length) break;
          await this.frame(
            pending.subarray(offset, offset + 8),
            pending.subarray(offset + 8, offset + 8 + length),
          );
          offset += 8 + length;
        }
        pending = pending.subarray(offset);
      }
    } catch {
      // Bad frames and broken sockets end alike: below.
    } finally {
      this.close();
    }
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.resolveClosed();
    for (const stream of this.streams.values()) stream.destroy();
    this.headers.close();
    this.transport.end();
  }

  sendData(id: number, data: Buffer, fin: boolean, done: (error?: Error | null) => void): void {
    if (this.isClosed || this.transport.destroyed) {
      done(new Error('the SPDY connection is closed'));
      return;
    }
    const head = Buffer.alloc(8);
    head.writeUInt32BE(id, 0);
    head.writeUInt8(fin ? FLAG_FIN : 0, 4);
    head.writeUIntBE(data.length, 5, 3);
    this.transport.write(Buffer.concat([head, data]), (error) => done(error));
  }

  /** The stream is over for us; `reset` tells the client so. */
  forget(id: number, reset: boolean): void {
    if (!this.streams.delete(id) || !reset || this.isClosed || this.transport.destroyed) return;
    const CANCEL = 5;
    this.sendControl(control.rstStream, Buffer.concat([uint32(id), uint32(CANCEL)]));
  }

  private async frame(head: Buffer, payload: Buffer): Promise<void> {
    const word = head.readUInt32BE(0);
    const flags = head.readUInt8(4);
    if (word < 0x8000_0000) {
      await this.streams.get(word)?.receive(payload, (flags & FLAG_FIN) !== 0);
      return;
    }
    switch (word & 0xffff) {
      case control.synStream:
        return this.open(payload, (flags & FLAG_FIN) !== 0);
      case control.rstStream:
        this.streams.get(payload.readUInt32BE(0) & 0x7fff_ffff)?.destroy();
        return;
      case control.ping:
        this.sendControl(control.ping, payload);
        return;
      case control.goAway:
        // No further streams will come; the open ones go on.
        return;
      default:
        // SETTINGS, HEADERS and WINDOW_UPDATE change nothing here.
        return;
    }
  }

  private async open(payload: Buffer, fin: boolean): Promise<void> {
    const id = payload.readUInt32BE(0) & 0x7fff_ffff;
    const headers = await this.headers.decode(payload.subarray(10));
    if (this.streams.size >= MAX_STREAMS) {
      const REFUSED = 3;
      this.sendControl(control.rstStream, Buffer.concat([uint32(id), uint32(REFUSED)]));
      return;
    }
    const stream = new SpdyStream(this, id, headers);
    this.streams.set(id, stream);
    const reply = await this.headers.encode(new Map());
    this.sendControl(control.synReply, Buffer.concat([uint32(id), reply]));
    this.onStream(stream);
    if (fin) await stream.receive(Buffer.alloc(0), true);
  }

  private sendControl(type: number, payload: Buffer): void {
    if (this.transport.destroyed) return;
    const head = Buffer.alloc(8);
    head.writeUInt16BE(0x8003, 0);
    head.writeUInt16BE(type, 2);
    head.writeUIntBE(payload.length, 5, 3);
    this.transport.write(Buffer.concat([head, payload]));
  }
}
