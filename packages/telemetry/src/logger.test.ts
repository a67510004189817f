import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { Bare, LogLevels, MAX_LOG_BUFFER, createLogger, stdoutSink } from './logger.ts';

function lines(format: 'plain' | 'json', levels = new LogLevels()) {
  const written: string[] = [];
  const logger = createLogger({
    scope: 'proxy',
    format,
    levels,
    sink: { write: (line) => void written.push(line), flush: () => undefined },
    now: () => new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678)),
  });
  return { logger, written };
}

describe('logger', () => {
  it('writes plain lines: quoted strings, bare addresses, absent fields left out', () => {
    const { logger, written } = lines('plain');
    logger.info('open', { addr: new Bare('10.0.0.1:80'), name: 'a "b"', bytes: 3, none: undefined });
    expect(written).toEqual([
      '2026-01-02T03:04:05.678000Z\tinfo\tproxy\topen\taddr=10.0.0.1:80 name="a \\"b\\"" bytes=3\n',
    ]);
  });

  it('writes JSON with the same content', () => {
    const { logger, written } = lines('json');
    logger.warn('open', { addr: new Bare('10.0.0.1:80') });
    expect(JSON.parse(written[0] ?? '')).toEqual({
      level: 'warn',
      time: '2026-01-02T03:04:05.678000Z',
      scope: 'proxy',
      message: 'open',
      addr: '10.0.0.1:80',
    });
  });

  it('keeps one line a message, whatever a peer puts into it', () => {
    const { logger, written } = lines('plain');
    logger.info('x', { header: 'a\nb\tc' });
    expect(written.join('').split('\n')).toHaveLength(2);
  });

  it('has levels by scope that can change while it runs', () => {
    const levels = new LogLevels('info');
    const { logger, written } = lines('plain', levels);
    logger.debug('hidden');
    levels.set('debug', 'proxy');
    logger.debug('shown');
    logger.scope('other').debug('hidden');
    logger.scope('proxy::inbound').debug('shown too');
    levels.reset();
    logger.debug('hidden again');
    expect(written).toHaveLength(2);
  });
});

describe('the output', () => {
  it('writes the lines of a turn together, without being told to', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-log-'));
    try {
      const path = join(folder, 'log');
      const sink = stdoutSink(openSync(path, 'w'));
      sink.write('first\n');
      sink.write('second\n');
      expect(readFileSync(path, 'utf8')).toBe('');
      while (readFileSync(path, 'utf8') === '') await setImmediate();
      expect(readFileSync(path, 'utf8')).toBe('first\nsecond\n');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('waits for its reader when its buffer is full, and loses no line', () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-log-'));
    try {
      const path = join(folder, 'log');
      const fd = openSync(path, 'w');
      const sink = stdoutSink(fd);
      const line = `${'x'.repeat(1_023)}\n`;
      const lineCount = (2 * MAX_LOG_BUFFER) / line.length;
      for (let i = 0; i < lineCount; i++) sink.write(line);
      // Nothing of this ran asynchronously, so what is in the file was waited for.
      expect(readFileSync(path).length).toBeGreaterThanOrEqual(MAX_LOG_BUFFER);
      sink.flush();
      expect(readFileSync(path).length).toBe(2 * MAX_LOG_BUFFER);
      closeSync(fd);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
