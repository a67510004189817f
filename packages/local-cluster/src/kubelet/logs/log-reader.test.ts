import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ContainerLog, MAX_LOG_FILE_BYTES } from './container-log.ts';
import { readLog, type LogQuery } from './log-reader.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-log-'));
  path = join(directory, 'c', '0.log');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const everything: LogQuery = {
  follow: false,
  tailLines: undefined,
  sinceMs: undefined,
  timestamps: false,
  limitBytes: undefined,
};

async function write(...chunks: readonly string[]): Promise<void> {
  const log = new ContainerLog(path);
  const stream = new PassThrough();
  const done = log.capture('stdout', stream);
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await done;
  log.close();
}

async function read(query: Partial<LogQuery> = {}): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of readLog(
    path,
    { ...everything, ...query },
    () => true,
    new AbortController().signal,
  ))
    chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

describe('a container log', () => {
  it("is in the CRI's format", async () => {
    await write('one\ntw', 'o\nrest');
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /, ''))).toEqual([
      'stdout F one',
      'stdout F two',
      'stdout P rest',
    ]);
  });

  it('is read back as it was written', async () => {
    await write('one\n\nthree\npartial');
    expect(await read()).toBe('one\n\nthree\npartial');
  });

  it('splits lines that are too long and joins them again', async () => {
    const long = 'x'.repeat(40_000);
    await write(`${long}\nend\n`);
    expect(readFileSync(path, 'utf8').match(/ P /g)).toHaveLength(2);
    expect(await read()).toBe(`${long}\nend\n`);
    expect(await read({ tailLines: 2 })).toBe(`${long}\nend\n`);
  });

  it.each([
    [0, ''],
    [1, 'c\n'],
    [2, 'b\nc\n'],
    [9, 'a\nb\nc\n'],
  ])('shows its last %i lines', async (tailLines, expected) => {
    await write('a\nb\nc\n');
    expect(await read({ tailLines })).toBe(expected);
  });

  it('shows times, a limit of bytes, and only what is recent', async () => {
    await write('a\nb\n');
    expect(await read({ timestamps: true })).toMatch(/^20\S+Z a\n20\S+Z b\n$/);
    expect(await read({ limitBytes: 3 })).toBe('a\nb');
    expect(await read({ sinceMs: Date.now() + 60_000 })).toBe('');
  });

  it('is put aside when it is full, and the part put aside is still shown', async () => {
    const line = `${'y'.repeat(8_000)}\n`;
    const count = Math.ceil(MAX_LOG_FILE_BYTES / line.length) + 5;
    await write(line.repeat(count));
    expect(statSync(path).size).toBeLessThan(MAX_LOG_FILE_BYTES);
    expect((await read()).length).toBe(line.length * count);
  });

  it('is followed to the end of the container', async () => {
    const log = new ContainerLog(path);
    const stream = new PassThrough();
    const done = log.capture('stderr', stream);
    stream.write('one\n');
    let finished = false;
    let seen = '';
    for await (const chunk of readLog(
      path,
      { ...everything, follow: true },
      () => finished,
      new AbortController().signal,
    )) {
      seen += chunk.toString('utf8');
      if (seen === 'one\n') stream.write('two\n');
      if (seen === 'one\ntwo\n') {
        stream.end('three\n');
        await done;
        finished = true;
      }
    }
    expect(seen).toBe('one\ntwo\nthree\n');
    log.close();
  });
});
