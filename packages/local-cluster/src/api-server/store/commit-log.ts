import { closeSync, createReadStream, fsyncSync, openSync } from 'node:fs';
import { open, rename, truncate, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { systemErrorCode, WeftError } from '@weft/telemetry';
import type { ApiObject } from '../object.ts';
import { Store } from './store.ts';

export interface LogRecord {
  readonly revision: number;
  readonly collection: string;
  readonly key: string;
  /** Absent: the object was deleted. */
  readonly object?: ApiObject;
}

/** A log is rewritten as a snapshot once it has grown by this much and to more than twice the snapshot's size. */
const SNAPSHOT_MIN_GROWTH_BYTES = 8 * 1024 * 1024;
/**
 * Watchers see a write before it is on disk. After a crash the counter therefore continues well above the last
 * revision on disk, so that no revision means two things; older watches get 410 and list again.
 */
const REVISION_GAP_AFTER_RESTART = 10_000;

/**
 * An append-only file of JSON lines: the first holds the revision at the time of the snapshot, each further one a
 * write. Writes that happen while the disk is busy share the next `fdatasync`.
 */
export class CommitLog {
  private readonly path: string;
  private readonly snapshot: () => { revision: number; records: Iterable<LogRecord> };
  private readonly onFailure: (error: unknown) => void;
  private file: FileHandle;
  private bytes: number;
  private snapshotBytes: number;
  private pending: string[] = [];
  private writing: Promise<void> | undefined;
  private failure: WeftError | undefined;

  private constructor(
    path: string,
    file: FileHandle,
    bytes: number,
    snapshot: () => { revision: number; records: Iterable<LogRecord> },
    onFailure: (error: unknown) => void,
  ) {
    this.path = path;
    this.file = file;
    this.bytes = bytes;
    this.snapshotBytes = bytes;
    this.snapshot = snapshot;
    this.onFailure = onFailure;
  }

  /**
   * Reads the log, or starts an empty one. A last line cut short by a crash is dropped; damage before it is
   * WEFT2020. `onFailure` is told when the disk refuses a write: the caller should stop serving.
   */
  static async openStore(path: string, onFailure: (error: unknown) => void): Promise<Store> {
    const { records, revision, bytes } = await readLog(path);
    const file = await open(path, 'a', 0o600);
    // The log needs the store's content for snapshots, the store needs the log for writes.
    const holder: { store?: Store } = {};
    const snapshot = () => ({
      revision: holder.store?.revision ?? revision,
      records: holder.store?.records() ?? [],
    });
    const log = new CommitLog(path, file, bytes, snapshot, onFailure);
    const store = new Store(
      { revision: bytes === 0 ? 1 : revision + REVISION_GAP_AFTER_RESTART, records },
      log,
    );
    holder.store = store;
    await log.rewrite();
    return store;
  }

  append(record: LogRecord): void {
    this.pending.push(lineOf(record));
    this.writing ??= this.drain();
  }

  /** Rejects once the disk has refused a write: what is in memory is then ahead of the file for good. */
  async flushed(): Promise<void> {
    await this.writing;
    if (this.failure !== undefined) throw this.failure;
  }

  async close(): Promise<void> {
    await this.writing;
    await this.file.close();
  }

  private async drain(): Promise<void> {
    // A turn later, so that all writes of this turn share one sync.
    await Promise.resolve();
    try {
      while (this.pending.length > 0) {
        const batch = Buffer.from(this.pending.join(''));
        this.pending = [];
        await this.file.appendFile(batch);
        await this.file.datasync();
        this.bytes += batch.length;
        const growth = this.bytes - this.snapshotBytes;
        if (growth > SNAPSHOT_MIN_GROWTH_BYTES && growth > this.snapshotBytes) await this.rewrite();
      }
    } catch (error) {
      this.failure = new WeftError('WEFT2021', `${this.path}: cannot write the cluster's state`, {
        cause: error,
      });
      this.onFailure(this.failure);
    } finally {
      this.writing = undefined;
    }
  }

  /** Replaces the file by a snapshot. Records appended meanwhile wait in `pending` and may repeat what it holds. */
  private async rewrite(): Promise<void> {
    const { revision, records } = this.snapshot();
    const lines = [`${JSON.stringify({ revision })}\n`];
    for (const record of records) lines.push(lineOf(record));
    const content = Buffer.from(lines.join(''));
    const temporary = `${this.path}.new`;
    const next = await open(temporary, 'w', 0o600);
    await next.writeFile(content);
    await next.datasync();
    await rename(temporary, this.path);
    syncDirectory(this.path);
    await this.file.close();
    this.file = next;
    this.bytes = content.length;
    this.snapshotBytes = content.length;
  }
}

function lineOf({ revision, collection, key, object }: LogRecord): string {
  return `${JSON.stringify({ revision, collection, key, object })}\n`;
}

async function readLog(path: string): Promise<{ records: LogRecord[]; revision: number; bytes: number }> {
  const objects = new Map<string, LogRecord>();
  let revision = 0;
  let bytes = 0;
  let damaged: string | undefined;
  const input = createReadStream(path);
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (damaged !== undefined)
        throw new WeftError('WEFT2020', `${path}: damaged at byte ${bytes}: ${damaged}`);
      const record = parseLine(line);
      if (record === undefined) {
        damaged = line.slice(0, 80);
        continue;
      }
      bytes += Buffer.byteLength(line) + 1;
      revision = Math.max(revision, record.revision);
      if (record.collection === undefined) continue;
      const id = `${record.collection} ${record.key}`;
      if (record.object === undefined) objects.delete(id);
      else objects.set(id, record);
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return { records: [], revision: 0, bytes: 0 };
    throw error;
  }
  if (damaged !== undefined) await truncate(path, bytes);
  return { records: [...objects.values()], revision, bytes };
}

type ParsedLine = LogRecord | { readonly revision: number; readonly collection?: undefined };

function parseLine(line: string): ParsedLine | undefined {
  try {
    const record: unknown = JSON.parse(line);
    if (typeof record !== 'object' || record === null || !('revision' in record)) return undefined;
    return record as ParsedLine; // written by lineOf, or the first line
  } catch {
    return undefined;
  }
}

function syncDirectory(path: string): void {
  const directory = openSync(dirname(path), 'r');
  fsyncSync(directory);
  closeSync(directory);
}
