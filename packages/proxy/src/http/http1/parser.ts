import type { MessageLimits } from '../message-limits.ts';
import { codecError, Http1Error } from './error.ts';
import type { BodyFraming } from './framing.ts';
import { parseFields } from './head.ts';

/** Gets what the parser finds. `onHead` may throw Http1Error; nothing else may throw. */
export interface ParserSink {
  /** Start line and fields, without the empty line behind them. Only tells how the body is delimited. */
  onHead(text: string): BodyFraming;
  /** The parser is ready for the body, or the message is complete with its head. */
  onStart(complete: boolean): void;
  /** `last`: the message is complete. */
  onBody(piece: Buffer, last: boolean): void;
  /** The end of a chunked body. */
  onEnd(trailers: string[]): void;
}

/** Empty lines before a start line (RFC 9112 §2.2). */
const MAX_EMPTY_LINES = 8;
/** A chunk size with its extension. */
const MAX_CHUNK_LINE_BYTES = 4 * 1024;
const CR = 0x0d;
const LF = 0x0a;

/**
 * Splits the bytes of one direction of an HTTP/1 connection into messages (RFC 9112). Where a message is complete it
 * stands still until `next` or `passThrough`.
 *
 *   head ─► none ──────────────────────────────────────────────┐
 *     │ ─► length ─────────────────────────────────────────────┤
 *     │ ─► chunk-size ⇄ chunk-data, chunk-end ─► trailers ─────┴─► complete ─(next)─► head
 *     ├─► close: body until the end of the connection
 *     └─► held ─(passThrough)─► raw bytes for ever, ─(next)─► head
 */
export class Http1Parser {
  private readonly limits: MessageLimits;
  private readonly sink: ParserSink;
  private state:
    | 'head'
    | 'length'
    | 'chunk-size'
    | 'chunk-data'
    | 'chunk-end'
    | 'trailers'
    | 'close'
    | 'raw'
    | 'complete' = 'head';
  private input: Buffer[] = [];
  private inputBytes = 0;
  /** Of the current chunk, what the sink is being told about: read, though still counted. */
  private delivering = 0;
  private left = 0;
  private paused = false;
  private running = false;
  /** Lines that a chunk boundary cut. */
  private line = Buffer.alloc(0);
  private lineBytes = 0;
  private emptyLines = 0;

  constructor(limits: MessageLimits, sink: ParserSink) {
    this.limits = limits;
    this.sink = sink;
  }

  /** Bytes that were received and not yet read. */
  get heldBytes(): number {
    return this.inputBytes - this.delivering;
  }

  /** Whether a message has begun and isn't complete. */
  get inMessage(): boolean {
    return this.state === 'head' ? this.lineBytes > 0 : this.state !== 'complete';
  }

  get untilClose(): boolean {
    return this.state === 'close' || this.state === 'raw';
  }

  /** @throws Http1Error */
  receive(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.input.push(bytes);
    this.inputBytes += bytes.length;
    this.run();
  }

  pause(): void {
    this.paused = true;
  }

  /** @throws Http1Error */
  resume(): void {
    this.paused = false;
    this.run();
  }

  /** Reads the next message. @throws Http1Error */
  next(): void {
    this.state = 'head';
    this.lineBytes = 0;
    this.emptyLines = 0;
    this.run();
  }

  /** What comes from now on is another protocol's. */
  passThrough(): void {
    this.state = 'raw';
    this.run();
  }

  private run(): void {
    if (this.running) return;
    this.running = true;
    try {
      while (!this.paused && this.state !== 'complete') {
        const chunk = this.input[0];
        if (chunk === undefined) return;
        const used = this.consume(chunk);
        this.delivering = 0;
        this.inputBytes -= used;
        if (used === chunk.length) this.input.shift();
        else this.input[0] = chunk.subarray(used);
      }
    } finally {
      this.running = false;
    }
  }

  /** Takes bytes off the front of `chunk`; returns how many. */
  private consume(chunk: Buffer): number {
    switch (this.state) {
      case 'head':
      case 'trailers':
        return this.section(chunk);
      case 'chunk-size':
        return this.chunkSize(chunk);
      case 'chunk-end':
        return this.chunkEnd(chunk);
      case 'chunk-data':
      case 'length': {
        const piece = chunk.length > this.left ? chunk.subarray(0, this.left) : chunk;
        this.left -= piece.length;
        const last = this.left === 0 && this.state === 'length';
        if (last) this.state = 'complete';
        else if (this.left === 0) {
          this.state = 'chunk-end';
          this.left = 2;
        }
        this.delivering = piece.length;
        this.sink.onBody(piece, last);
        return piece.length;
      }
      case 'close':
      case 'raw':
        this.sink.onBody(chunk, false);
        return chunk.length;
      case 'complete':
        return 0;
    }
  }

  /** Gathers lines up to an empty one. */
  private section(chunk: Buffer): number {
    const limit = this.limits.maxHeadBytes;
    let at = 0;
    for (;;) {
      const lineStart = at;
      const end = chunk.indexOf(LF, at);
      if (end < 0) {
        this.keep(chunk, lineStart, chunk.length);
        if (this.lineBytes > limit) throw new Http1Error('http1.headers_too_large', 431);
        return chunk.length;
      }
      at = end + 1;
      const startsHere = this.lineBytes === 0 || this.line[this.lineBytes - 1] === LF;
      const length = end - lineStart;
      const empty = startsHere
        ? length === 0 || (length === 1 && chunk[lineStart] === CR)
        : length === 0 && this.endsWithLoneCr();
      if (!empty) {
        this.keep(chunk, lineStart, at);
        if (this.lineBytes > limit) throw new Http1Error('http1.headers_too_large', 431);
        continue;
      }
      if (this.state === 'head' && this.sectionEmpty()) {
        if (++this.emptyLines > MAX_EMPTY_LINES) throw codecError();
        this.lineBytes = 0;
        continue;
      }
      const text = this.line.toString('latin1', 0, this.lineBytes);
      this.lineBytes = 0;
      this.delivering = at;
      if (this.state === 'head') this.head(text);
      else this.trailers(text);
      return at;
    }
  }

  /** The kept bytes are a line with nothing but CR in it, cut before its LF. */
  private endsWithLoneCr(): boolean {
    const { line, lineBytes } = this;
    return line[lineBytes - 1] === CR && (lineBytes === 1 || line[lineBytes - 2] === LF);
  }

  private sectionEmpty(): boolean {
    return this.lineBytes === 0 || (this.lineBytes === 1 && this.line[0] === CR);
  }

  private keep(chunk: Buffer, start: number, end: number): void {
    const needed = this.lineBytes + end - start;
    if (needed > this.line.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(1_024, needed * 2));
      this.line.copy(larger, 0, 0, this.lineBytes);
      this.line = larger;
    }
    chunk.copy(this.line, this.lineBytes, start, end);
    this.lineBytes = needed;
  }

  private head(text: string): void {
    const framing = this.sink.onHead(text);
    this.state = 'complete';
    switch (framing.kind) {
      case 'length':
        if (framing.bytes > 0) this.state = 'length';
        this.left = framing.bytes;
        break;
      case 'chunked':
        this.state = 'chunk-size';
        break;
      case 'close':
        this.state = 'close';
        break;
      case 'held':
      case 'none':
        break;
    }
    this.sink.onStart(this.state === 'complete' && framing.kind !== 'held');
  }

  private chunkSize(chunk: Buffer): number {
    const end = chunk.indexOf(LF);
    const stop = end < 0 ? chunk.length : end + 1;
    this.keep(chunk, 0, stop);
    if (this.lineBytes > MAX_CHUNK_LINE_BYTES) throw codecError();
    if (end < 0) return stop;
    const text = this.line.toString('latin1', 0, this.lineBytes);
    this.lineBytes = 0;
    // RFC 9112 §7.1. No bare LF, no CR within, no blank before the end: each has been a smuggler's tool.
    const match = /^([0-9A-Fa-f]{1,13})(?:[ \t]*;[^\r\n\0]*)?\r\n$/.exec(text);
    if (match === null) throw codecError();
    this.left = Number.parseInt(match[1] ?? '', 16);
    this.state = this.left === 0 ? 'trailers' : 'chunk-data';
    return stop;
  }

  private chunkEnd(chunk: Buffer): number {
    let used = 0;
    while (this.left > 0 && used < chunk.length) {
      if (chunk[used] !== (this.left === 2 ? CR : LF)) throw codecError();
      this.left--;
      used++;
    }
    if (this.left === 0) this.state = 'chunk-size';
    return used;
  }

  private trailers(text: string): void {
    const fields = parseFields(text, 0, this.limits.maxFields);
    this.state = 'complete';
    this.sink.onEnd(fields);
  }
}
