import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';

/** Lines that a slow disk or pipe holds back at most; what comes beyond is dropped and counted. */
export const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;

export interface AccessLogSink {
  write(line: string): void;
  readonly dropped: number;
}

/** The log files of a proxy, one stream for each path however many listeners write to it. */
export class AccessLogFiles {
  private readonly sinks = new Map<string, FileSink>();

  open(path: string): AccessLogSink {
    let sink = this.sinks.get(path);
    if (sink === undefined) {
      sink = new FileSink(path);
      this.sinks.set(path, sink);
    }
    return sink;
  }

  /** For log rotation: files are opened anew. */
  reopen(): void {
    for (const sink of this.sinks.values()) sink.reopen();
  }

  async close(): Promise<void> {
    const sinks = [...this.sinks.values()];
    this.sinks.clear();
    await Promise.all(sinks.map((sink) => sink.close()));
  }
}

class FileSink implements AccessLogSink {
  private readonly path: string;
  private stream: Writable | undefined;
  dropped = 0;

  constructor(path: string) {
    this.path = path;
  }

  write(line: string): void {
    const stream = (this.stream ??= this.open());
    if (stream.writableLength + line.length > MAX_BUFFERED_BYTES) this.dropped++;
    else stream.write(line);
  }

  reopen(): void {
    if (isStandard(this.path)) return;
    this.stream?.end();
    this.stream = undefined;
  }

  close(): Promise<void> {
    const { stream } = this;
    this.stream = undefined;
    if (stream === undefined || isStandard(this.path)) return Promise.resolve();
    return new Promise((resolve) => {
      stream.once('close', resolve);
      stream.end();
    });
  }

  private open(): Writable {
    if (this.path === '/dev/stdout') return process.stdout;
    if (this.path === '/dev/stderr') return process.stderr;
    const stream = createWriteStream(this.path, { flags: 'a' });
    // A log that can't be written must not end the proxy; the next line tries to open the file again.
    stream.on('error', () => {
      this.dropped++;
      if (this.stream === stream) this.stream = undefined;
    });
    return stream;
  }
}

function isStandard(path: string): boolean {
  return path === '/dev/stdout' || path === '/dev/stderr';
}
