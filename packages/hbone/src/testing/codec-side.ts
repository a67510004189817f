import { Http2Connection } from '../http2/connection.ts';
import type { ConnectionEvents, Http2Role } from '../http2/connection-events.ts';
import { defaultHttp2Limits, type Http2Limits } from '../http2/limits.ts';
import { errorCodeName } from '../http2/constants.ts';
import type { FlatFields } from '../http2/hpack/decoder.ts';
import type { RequestHead, ResponseHead } from '../http2/message-head.ts';
import { BatchPool } from '../http2/output.ts';
import { ReceiveBudget } from '../http2/receive-budget.ts';
import type { DataSource, Http2Stream, StreamEvents } from '../http2/stream.ts';

/** Bytes to send, all there at once. */
export class BufferSource implements DataSource {
  private readonly bytes: Buffer;
  private offset = 0;
  readonly ended: boolean;

  constructor(bytes: Buffer, ended: boolean) {
    this.bytes = bytes;
    this.ended = ended;
  }

  get size(): number {
    return this.bytes.length - this.offset;
  }

  take(target: Buffer, offset: number, length: number): void {
    this.bytes.copy(target, offset, this.offset, this.offset + length);
    this.offset += length;
  }
}

/** A codec without transport whose events are lines of text and whose output is collected. */
export class CodecSide implements ConnectionEvents {
  readonly connection: Http2Connection;
  readonly budget: ReceiveBudget;
  readonly log: string[] = [];
  readonly streams = new Map<number, Http2Stream>();
  now = 0;
  /** False: DATA stays undelivered. */
  delivering = true;
  undelivered = 0;

  constructor(role: Http2Role, limits: Partial<Http2Limits> = {}, budgetBytes?: number) {
    this.budget = new ReceiveBudget(budgetBytes);
    this.connection = new Http2Connection({
      role,
      events: this,
      pool: new BatchPool(),
      budget: this.budget,
      limits: { ...defaultHttp2Limits, ...limits },
      now: () => this.now,
    });
  }

  receive(...bytes: Buffer[]): this {
    for (const chunk of bytes) this.connection.receive(chunk);
    return this;
  }

  /** What the codec wants to send, which it has then sent. */
  sent(): Buffer {
    const parts: Buffer[] = [];
    const { output } = this.connection;
    for (let batch = output.take(); batch !== undefined; batch = output.take()) {
      parts.push(Buffer.from(batch.bytes));
      output.release(batch);
    }
    return Buffer.concat(parts);
  }

  open(fields: FlatFields): Http2Stream | undefined {
    const events: { current?: StreamEvents } = {};
    const forward: StreamEvents = {
      onResponse: (head, end) => events.current?.onResponse(head, end),
      onData: (piece) => events.current?.onData(piece),
      onEnd: () => events.current?.onEnd(),
      onReset: (code, by) => events.current?.onReset(code, by),
      onWritable: () => events.current?.onWritable(),
      onLost: (error) => events.current?.onLost(error),
    };
    const stream = this.connection.openStream(fields, forward);
    if (stream === undefined) return undefined;
    this.streams.set(stream.id, stream);
    events.current = this.eventsOf(stream);
    return stream;
  }

  onRequest(stream: Http2Stream, head: RequestHead): StreamEvents {
    this.streams.set(stream.id, stream);
    this.log.push(`request ${stream.id} ${head.method} ${head.authority}`);
    return this.eventsOf(stream);
  }
  onStreamClosed(): void {}
  onWritable(): void {
    this.log.push('writable');
  }
  onSettings(): void {}
  onPingAck(opaque: Buffer): void {
    this.log.push(`pong ${opaque.toString('latin1')}`);
  }
  onGoaway(lastStreamId: number, code: number): void {
    this.log.push(`goaway ${lastStreamId} ${errorCodeName(code)}`);
  }
  onFailure(error: Error): void {
    this.log.push(`failure ${error.message}`);
  }

  private eventsOf(stream: Http2Stream): StreamEvents {
    const { id } = stream;
    return {
      onResponse: (head: ResponseHead) => void this.log.push(`response ${id} ${head.status}`),
      onData: (piece) => {
        this.log.push(`data ${id} ${piece.length}`);
        if (this.delivering) this.connection.delivered(stream, piece.length);
        else this.undelivered += piece.length;
      },
      onEnd: () => void this.log.push(`end ${id}`),
      onReset: (code, by) => void this.log.push(`reset ${id} ${errorCodeName(code)} ${by}`),
      onWritable: () => void this.log.push(`writable ${id}`),
      onLost: () => void this.log.push(`lost ${id}`),
    };
  }
}
