import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import { chooseEncoding, encodeBody } from './content-encoding.ts';

describe('content encoding', () => {
  it.each<[string, string | undefined]>([
    ['', undefined],
    ['gzip', 'gzip'],
    ['GZIP;q=0.5, zstd;q=0.4', 'gzip'],
    ['gzip, zstd', 'zstd'],
    ['br, deflate', undefined],
    ['*', 'zstd'],
    ['*, zstd;q=0', 'gzip'],
    ['gzip;q=0', undefined],
    ['gzip;q=0.5, identity;q=0.9', undefined],
    ['gzip;q=x', undefined],
  ])('for "%s" is %s', (accept, expected) => {
    expect(chooseEncoding(accept, ['zstd', 'gzip'])).toBe(expected);
  });

  it('leaves small bodies as they are, and makes large ones smaller', async () => {
    expect(await encodeBody('small', 'gzip')).toEqual({ bytes: Buffer.from('small'), encoding: undefined });
    const text = 'metric 1\n'.repeat(1_000);
    const { bytes, encoding } = await encodeBody(text, 'gzip');
    expect([encoding, bytes.length < 500, gunzipSync(bytes).toString() === text]).toEqual([
      'gzip',
      true,
      true,
    ]);
  });
});
