import { FRAME_HEADER_BYTES } from './constants.ts';

/** Frames of one turn gather in a buffer of this size: one write to the transport for many streams. */
export const BATCH_BYTES = 256 * 1024;
const DEFAULT_FREE_BATCHES = 8;
/** A frame isn't cut to fill less than this at the end of a batch. */
const SMALLEST_SPLIT_BYTES = 4_096;

/** Free batch buffers, shared by the tunnels of a process. A tunnel holds one only while it has something to send. */
export class BatchPool {
  private readonly free: Buffer[] = [];
  private readonly maxFree: number;

  constructor(maxFree = DEFAULT_FREE_BATCHES) {
    this.maxFree = maxFree;
  }

  acquire(): Buffer {
    return this.free.pop() ?? Buffer.allocUnsafeSlow(BATCH_BYTES);
  }

  release(buffer: Buffer): void {
    if (buffer.length === BATCH_BYTES && this.free.length < this.maxFree) this.free.push(buffer);
  }
}

/** Bytes for the transport. `bytes` is a view of `storage`; give `storage` back to the pool when they are sent. */
export interface OutputBatch {
  readonly bytes: Buffer;
  readonly storage: Buffer;
}

/** The outgoing bytes of one connection: frames are written in place, and leave in batches. */
export class Output {
  private readonly pool: BatchPool;
  private readonly sealed: OutputBatch[] = [];
  private sealedBytes = 0;
  private current: Buffer | undefined;
  private used = 0;

  constructor(pool: BatchPool) {
    this.pool = pool;
  }

  /** Bytes that wait for the transport. */
  get pendingBytes(): number {
    return this.sealedBytes + this.used;
  }

  /** Writes a frame header and reserves `length` payload bytes behind it; `payloadOffset` tells where. */
  frame(length: number, type: number, flags: number, streamId: number): Buffer {
    const buffer = this.reserve(FRAME_HEADER_BYTES + length);
    let at = this.used;
    buffer[at++] = length >>> 16;
    buffer[at++] = length >>> 8;
    buffer[at++] = length;
    buffer[at++] = type;
    buffer[at++] = flags;
    buffer[at++] = streamId >>> 24;
    buffer[at++] = streamId >>> 16;
    buffer[at++] = streamId >>> 8;
    buffer[at++] = streamId;
    this.payloadOffset = at;
    this.used = at + length;
    return buffer;
  }
  /** Where the payload of the last `frame()` begins in the buffer it returned. */
  payloadOffset = 0;

  /**
   * Payload bytes that one DATA frame may have, of `wanted`: what fits into the current batch, or, where that would
   * chop off a sliver, into a fresh one.
   */
  roomFor(wanted: number): number {
    const whole = BATCH_BYTES - FRAME_HEADER_BYTES;
    if (this.current === undefined) return whole;
    const room = this.current.length - this.used - FRAME_HEADER_BYTES;
    return room >= wanted || room >= SMALLEST_SPLIT_BYTES ? room : whole;
  }

  raw(bytes: Buffer): void {
    const buffer = this.reserve(bytes.length);
    bytes.copy(buffer, this.used);
    this.used += bytes.length;
  }

  /** The oldest batch, whose ownership passes to the caller. */
  take(): OutputBatch | undefined {
    const sealed = this.sealed.shift();
    if (sealed !== undefined) {
      this.sealedBytes -= sealed.bytes.length;
      return sealed;
    }
    if (this.current === undefined) return undefined;
    const batch = { bytes: this.current.subarray(0, this.used), storage: this.current };
    this.current = undefined;
    this.used = 0;
    return batch;
  }

  release(batch: OutputBatch): void {
    this.pool.release(batch.storage);
  }

  /** Drops everything, for a transport that is gone. */
  clear(): void {
    for (let batch = this.take(); batch !== undefined; batch = this.take()) this.release(batch);
  }

  private reserve(length: number): Buffer {
    if (this.current !== undefined) {
      if (this.current.length - this.used >= length) return this.current;
      this.sealed.push({ bytes: this.current.subarray(0, this.used), storage: this.current });
      this.sealedBytes += this.used;
    }
    this.used = 0;
    // Only a header block can be larger than a batch; its buffer isn't pooled.
    this.current = length <= BATCH_BYTES ? this.pool.acquire() : Buffer.allocUnsafeSlow(length);
    return this.current;
  }
}
