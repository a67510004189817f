import { spawn } from 'node:child_process';
import { describe, expect, it } from '@jest/globals';
import { capture } from './run-program.ts';

describe('a program', () => {
  it('that fails is an error with its last words', async () => {
    await expect(capture('/bin/sh', ['-c', 'echo no such thing >&2; exit 3'])).rejects.toMatchObject({
      code: 'WEFT1902',
      message: expect.stringContaining('ended with 3: no such thing'),
    });
  });

  it('that does not read its input is no error', async () => {
    expect(await capture('/bin/true', [], { input: 'x'.repeat(1 << 20) })).toBe('');
  });

  it('gets the signals that are meant for it, and its end is told as a shell tells it', async () => {
    const script = `
      import { passThrough } from ${JSON.stringify(new URL('./run-program.js', import.meta.url).href)};
      process.exit(await passThrough('/bin/sh', ['-c', 'echo up; exec sleep 60'], process.env));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child.stdout.once('data', () => child.kill('SIGTERM'));
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(128 + 15);
  });
});
