import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';

export const MAX_LOG_BYTES = 16 * 1024 * 1024;

/** Appends to a file; at its limit the file becomes `<path>.1`, replacing the one before. */
export class RotatingLog {
  private readonly path: string;
  private readonly maxBytes: number;
  private fd: number;
  private size: number;

  constructor(path: string, maxBytes = MAX_LOG_BYTES) {
    this.path = path;
    this.maxBytes = maxBytes;
    this.fd = openSync(path, 'a', 0o600);
    this.size = fstatSync(this.fd).size;
  }

  /** Synchronous on purpose: the last words of a dying process must be on disk when its exit is handled. */
  write(chunk: Uint8Array): void {
    if (this.size > 0 && this.size + chunk.length > this.maxBytes) this.rotate();
    try {
      writeSync(this.fd, chunk);
      this.size += chunk.length;
    } catch {
      // A full disk loses log lines, not the cluster.
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  private rotate(): void {
    closeSync(this.fd);
    renameSync(this.path, `${this.path}.1`);
    this.fd = openSync(this.path, 'a', 0o600);
    this.size = 0;
  }
}
