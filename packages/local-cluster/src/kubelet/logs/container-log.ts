import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { Readable } from 'node:stream';

export type LogStream = 'stdout' | 'stderr';

/** A log file that grows beyond this is renamed to `.1`, over the one before. */
export const MAX_LOG_FILE_BYTES = 10 * 1024 * 1024;
/** A longer line is written in parts, marked `P`. */
const MAX_LOG_LINE_BYTES = 16 * 1024;
const NEWLINE = 0x0a;

/**
 * A container's output as a file in the CRI's format, `<RFC 3339> stdout|stderr F|P <text>`. Writes are synchronous:
 * a container that prints faster than the disk takes it waits on its own pipe, and nothing queues up here.
 */
export class ContainerLog {
  readonly path: string;
  private descriptor: number;
  private size: number;
  private readonly listeners = new Set<(stream: LogStream, chunk: Buffer) => void>();

  constructor(path: string) {
    this.path = path;
    mkdirSync(dirname(path), { recursive: true });
    this.descriptor = openSync(path, 'a', 0o640);
    this.size = fstatSync(this.descriptor).size;
  }

  /** Copies a stream into the log. Resolves at the stream's end. */
  capture(stream: LogStream, source: Readable): Promise<void> {
    let rest: Buffer = Buffer.alloc(0);
    source.on('data', (chunk: Buffer) => {
      for (const listener of this.listeners) listener(stream, chunk);
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        this.write(stream, Buffer.concat([rest, chunk.subarray(start, end)]), true);
        rest = Buffer.alloc(0);
        start = end + 1;
      }
      rest = Buffer.concat([rest, chunk.subarray(start)]);
      while (rest.length > MAX_LOG_LINE_BYTES) {
        this.write(stream, rest.subarray(0, MAX_LOG_LINE_BYTES), false);
        rest = rest.subarray(MAX_LOG_LINE_BYTES);
      }
    });
    // A stream that was paused on purpose does not flow again for a new listener alone.
    source.resume();
    return new Promise((resolve) => {
      const end = (): void => {
        if (rest.length > 0) this.write(stream, rest, false);
        rest = Buffer.alloc(0);
        resolve();
      };
      source.once('end', end);
      source.once('error', end);
      source.once('close', end);
    });
  }

  /** Raw output as it comes. Returns what ends the subscription. */
  subscribe(listener: (stream: LogStream, chunk: Buffer) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  close(): void {
    if (this.descriptor < 0) return;
    closeSync(this.descriptor);
    this.descriptor = -1;
  }

  private write(stream: LogStream, text: Buffer, complete: boolean): void {
    if (this.descriptor < 0) return;
    for (let start = 0; start === 0 || start < text.length; start += MAX_LOG_LINE_BYTES) {
      const end = start + MAX_LOG_LINE_BYTES;
      const tag = complete && end >= text.length ? 'F' : 'P';
      this.append(
        Buffer.concat([Buffer.from(`${timestamp()} ${stream} ${tag} `), text.subarray(start, end), newline]),
      );
    }
  }

  private append(record: Buffer): void {
    if (this.size + record.length > MAX_LOG_FILE_BYTES) {
      closeSync(this.descriptor);
      rmSync(`${this.path}.1`, { force: true });
      renameSync(this.path, `${this.path}.1`);
      this.descriptor = openSync(this.path, 'a', 0o640);
      this.size = 0;
    }
    this.size += writeSync(this.descriptor, record);
  }
}

const newline = Buffer.from('\n');

/** RFC 3339 with nanoseconds, as far as the clock knows them. */
function timestamp(): string {
  const micros = Math.round((performance.timeOrigin + performance.now()) * 1000);
  const seconds = new Date(Math.floor(micros / 1000)).toISOString().slice(0, 19);
  return `${seconds}.${String(micros % 1_000_000).padStart(6, '0')}000Z`;
}
