import { deflateSync } from 'node:zlib';
import { expect, it } from '@jest/globals';
import { spdyDictionary } from './spdy-dictionary.ts';
import { SpdyHeaders } from './spdy-headers.ts';

it('has the dictionary of the specification, whose Adler-32 checksum is in every stream', () => {
  const stream = deflateSync(Buffer.from('x'), { dictionary: spdyDictionary() });
  expect(stream.subarray(2, 6).toString('hex')).toBe('e3c6a7c2');
});

it('codes blocks that refer to earlier ones', async () => {
  const [client, server] = [new SpdyHeaders(), new SpdyHeaders()];
  for (const id of ['0', '1']) {
    const headers = new Map([
      ['streamtype', 'data'],
      ['port', '8080'],
      ['requestid', id],
    ]);
    expect(await server.decode(await client.encode(headers))).toEqual(headers);
  }
  client.close();
  server.close();
});

it('refuses a block that inflates without end', async () => {
  const [client, server] = [new SpdyHeaders(), new SpdyHeaders()];
  const bomb = await client.encode(new Map([['a', 'x'.repeat(200_000)]]));
  expect(bomb.length).toBeLessThan(2_000);
  await expect(server.decode(bomb)).rejects.toThrow('too large');
  await expect(new SpdyHeaders().decode(Buffer.alloc(100_000))).rejects.toThrow('too large');
  client.close();
  server.close();
});
