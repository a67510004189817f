import { watch } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { systemErrorCode } from '@weft/telemetry';

export interface LogQuery {
  readonly follow: boolean;
  readonly tailLines: number | undefined;
  /** Only records that are not older. */
  readonly sinceMs: number | undefined;
  readonly timestamps: boolean;
  readonly limitBytes: number | undefined;
}

/** How often a follower looks, besides being told of changes: `fs.watch` may miss some. */
const FOLLOW_POLL_MS = 500;
const READ_CHUNK_BYTES = 64 * 1024;

/**
 * The text of a log file, and with `follow` what comes until `isFinished` and the signal. Starts with the file
 * that rotation put aside, if it's there.
 */
export async function* readLog(
  path: string,
  query: LogQuery,
  isFinished: () => boolean,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  let budget = query.limitBytes ?? Number.POSITIVE_INFINITY;
  const clip = (text: Buffer): Buffer => {
    const part = text.subarray(0, Math.min(text.length, budget));
    budget -= part.length;
    return part;
  };
  const before = await readIfThere(`${path}.1`);
  const current = await readIfThere(path);
  const parser = new RecordParser(query);
  const records = [...parser.push(before), ...parser.push(current)];
  const chosen = query.tailLines === undefined ? records : tail(records, query.tailLines);
  if (chosen.length > 0) yield clip(Buffer.concat(chosen.map(({ text }) => text)));
  if (!query.follow) return;
  for await (const chunk of grow(path, current.length, isFinished, signal)) {
    if (budget <= 0) return;
    const fresh = parser.push(chunk);
    if (fresh.length > 0) yield clip(Buffer.concat(fresh.map(({ text }) => text)));
  }
}

async function* grow(
  path: string,
  start: number,
  isFinished: () => boolean,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  let offset = start;
  while (!signal.aborted) {
    // Asked before reading: what is written before the end must not be missed.
    const finished = isFinished();
    const size = await stat(path).then(
      (s) => s.size,
      () => 0,
    );
    if (size < offset) offset = 0; // rotated
    while (offset < size && !signal.aborted) {
      const chunk = await readRange(path, offset, Math.min(READ_CHUNK_BYTES, size - offset));
      if (chunk.length === 0) break;
      offset += chunk.length;
      yield chunk;
    }
    if (finished) return;
    await changeOf(path, signal);
  }
}

function changeOf(path: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      watcher?.close();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, FOLLOW_POLL_MS);
    let watcher: ReturnType<typeof watch> | undefined;
    try {
      watcher = watch(path, done);
      watcher.on('error', done);
    } catch {
      // No watch to be had (inotify's limits): the timer does it.
    }
    signal.addEventListener('abort', done, { once: true });
  });
}

async function readRange(path: string, offset: number, length: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function readIfThere(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

interface LogRecord {
  readonly text: Buffer;
  readonly endsLine: boolean;
}

/** Turns bytes of a log file into the text to show, record by record. */
class RecordParser {
  private readonly query: LogQuery;
  private rest: Buffer = Buffer.alloc(0);
  private insideLine = false;

  constructor(query: LogQuery) {
    this.query = query;
  }

  push(bytes: Buffer): LogRecord[] {
    const records: LogRecord[] = [];
    const all = Buffer.concat([this.rest, bytes]);
    let start = 0;
    for (let end = all.indexOf(0x0a); end >= 0; end = all.indexOf(0x0a, start)) {
      const record = this.parse(all.subarray(start, end));
      if (record !== undefined) records.push(record);
      start = end + 1;
    }
    this.rest = Buffer.from(all.subarray(start));
    return records;
  }

  private parse(record: Buffer): LogRecord | undefined {
    const time = record.indexOf(0x20);
    const stream = record.indexOf(0x20, time + 1);
    const tag = record.indexOf(0x20, stream + 1);
    if (time < 0 || stream < 0 || tag < 0) return undefined;
    const stamp = record.toString('latin1', 0, time);
    const endsLine = record.toString('latin1', stream + 1, tag) === 'F';
    const { sinceMs, timestamps } = this.query;
    if (sinceMs !== undefined && Date.parse(stamp) < sinceMs) return undefined;
    const prefix = timestamps && !this.insideLine ? `${stamp} ` : '';
    this.insideLine = !endsLine;
    const text = Buffer.concat([
      Buffer.from(prefix),
      record.subarray(tag + 1),
      Buffer.from(endsLine ? '\n' : ''),
    ]);
    return { text, endsLine };
  }
}

/** The records of the last `count` lines. */
function tail(records: readonly LogRecord[], count: number): readonly LogRecord[] {
  let lines = 0;
  for (let index = records.length - 1; index >= 0; index--) {
    if (records[index]?.endsLine === true || index === records.length - 1) lines++;
    if (lines > count) return records.slice(index + 1);
  }
  return records;
}
