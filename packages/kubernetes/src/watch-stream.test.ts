import { Readable } from 'node:stream';
import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { lines } from './watch-stream.ts';

async function collect(chunks: readonly Buffer[], limit = 1_000): Promise<string[]> {
  const found: string[] = [];
  for await (const line of lines(Readable.from(chunks), limit)) found.push(line.toString());
  return found;
}

it('finds the same lines however the bytes are cut into chunks', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }).filter((s) => s !== '' && !s.includes('\n'))),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      async (texts, cuts) => {
        const bytes = Buffer.from(texts.map((t) => `${t}\n`).join(''));
        const chunks: Buffer[] = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = cuts[i % cuts.length]!;
          chunks.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(await collect(chunks)).toEqual(texts);
      },
    ),
  );
});

it('drops an unfinished last line and skips empty ones', async () => {
  expect(await collect([Buffer.from('a\n\nb\nc')])).toEqual(['a', 'b']);
});

it('refuses a line above the limit before it is complete', async () => {
  const chunks = Array.from({ length: 5 }, () => Buffer.alloc(300, 'x'));
  await expect(collect(chunks)).rejects.toMatchObject({ code: 'WEFT1015' });
});
