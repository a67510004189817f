import { PassThrough } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { MAX_INPUT_BYTES, readInput } from './standard-input.ts';

describe('standard input', () => {
  it('is read to its end, whatever its pieces are', async () => {
    const input = new PassThrough();
    input.write('{"a":');
    input.end(Buffer.from('"ü"}'));
    expect(await readInput(input, new AbortController().signal)).toBe('{"a":"ü"}');
  });

  it('is refused beyond its limit, before all of it is there', async () => {
    const input = new PassThrough();
    input.write(Buffer.alloc(MAX_INPUT_BYTES + 1, ' '));
    await expect(readInput(input, new AbortController().signal)).rejects.toMatchObject({ cniCode: 6 });
  });

  it('that does not end in time is given up', async () => {
    const deadline = new AbortController();
    const input = new PassThrough();
    input.write('{');
    const read = readInput(input, deadline.signal);
    deadline.abort();
    await expect(read).rejects.toMatchObject({ cniCode: 5 });
  });
});
