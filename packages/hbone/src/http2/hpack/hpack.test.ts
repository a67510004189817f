import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { HpackDecoder, type FlatFields } from './decoder.ts';
import { DynamicTable } from './dynamic-table.ts';
import { HpackEncoder } from './encoder.ts';
import { huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts';
import { BlockCursor, writeInteger } from './integer.ts';
import { staticTable } from './static-table.ts';

const limits = { maxListBytes: 1 << 20, maxFields: 1_000 };
const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');
const fieldsOf = (decoder: HpackDecoder, block: Buffer): FlatFields => {
  const decoded = decoder.decode(block);
  if (decoded.kind !== 'fields') throw new Error(decoded.kind);
  return decoded.fields;
};

describe('RFC 7541 Appendix C', () => {
  it.each([
    ['C.1.1', 5, 10, '0a'],
    ['C.1.2', 5, 1_337, '1f9a0a'],
    ['C.1.3', 8, 42, '2a'],
  ])('%s integers', (_name, prefix, value, bytes) => {
    const target = Buffer.alloc(8);
    const end = writeInteger(target, 0, 0, prefix, value);
    expect(target.subarray(0, end).toString('hex')).toBe(bytes);
    const cursor = new BlockCursor();
    cursor.reset(hex(bytes));
    expect(cursor.integer(cursor.octet(), prefix)).toBe(value);
  });

  it.each([
    [
      'C.2.1',
      '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
      ['custom-key', 'custom-header'],
    ],
    ['C.2.2', '040c 2f73 616d 706c 652f 7061 7468', [':path', '/sample/path']],
    ['C.2.3', '1008 7061 7373 776f 7264 0673 6563 7265 74', ['password', 'secret']],
    ['C.2.4', '82', [':method', 'GET']],
  ])('%s', (_name, bytes, expected) => {
    expect(fieldsOf(new HpackDecoder(4_096, limits), hex(bytes))).toEqual(expected);
  });

  const requests = [
    [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com'],
    [
      ':method',
      'GET',
      ':scheme',
      'http',
      ':path',
      '/',
      ':authority',
      'www.example.com',
      'cache-control',
      'no-cache',
    ],
    [
      ':method',
      'GET',
      ':scheme',
      'https',
      ':path',
      '/index.html',
      ':authority',
      'www.example.com',
      'custom-key',
      'custom-value',
    ],
  ];
  const date1 = 'Mon, 21 Oct 2013 20:13:21 GMT';
  const date2 = 'Mon, 21 Oct 2013 20:13:22 GMT';
  const location = 'https://www.example.com';
  const responses = [
    [':status', '302', 'cache-control', 'private', 'date', date1, 'location', location],
    [':status', '307', 'cache-control', 'private', 'date', date1, 'location', location],
    [
      ':status',
      '200',
      'cache-control',
      'private',
      'date',
      date2,
      'location',
      location,
      'content-encoding',
      'gzip',
      'set-cookie',
      'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
    ],
  ];
  it.each([
    [
      'C.3 requests',
      4_096,
      requests,
      [
        '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '8286 84be 5808 6e6f 2d63 6163 6865',
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
      ],
    ],
    [
      'C.4 requests with Huffman',
      4_096,
      requests,
      [
        '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
        '8286 84be 5886 a8eb 1064 9cbf',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
      ],
    ],
    [
      'C.5 responses with eviction',
      256,
      responses,
      [
        `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
       546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
        '4803 3330 37c1 c0bf',
        `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
       6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
       2076 6572 7369 6f6e 3d31`,
      ],
    ],
    [
      'C.6 responses with Huffman',
      256,
      responses,
      [
        `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
       8f0b 97c8 e9ae 82ae 43d3`,
        '4883 640e ffc1 c0bf',
        `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
       dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
      ],
    ],
  ])('%s', (_name, tableBytes, expected, blocks) => {
    const decoder = new HpackDecoder(tableBytes, limits);
    expect(blocks.map((block) => fieldsOf(decoder, hex(block)))).toEqual(expected);
  });
});

describe('the static table', () => {
  it('has 61 entries in the places of the RFC', () => {
    expect(staticTable.length).toBe(62);
    expect(staticTable[16]).toEqual(['accept-encoding', 'gzip, deflate']);
    expect(staticTable[61]).toEqual(['www-authenticate', '']);
  });
});

describe('Huffman coding', () => {
  it('gives every octet back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
        const text = Buffer.from(octets).toString('latin1');
        const target = Buffer.alloc(1_000);
        const end = huffmanEncode(text, target, 3);
        expect(end - 3).toBe(huffmanLength(text));
        expect(huffmanDecode(target, 3, end)).toBe(text);
      }),
    );
  });

  it.each([
    ['padding of eight ones', 'f8ff'],
    ['padding with a zero', '18'],
    ['EOS', 'ffffffff'],
  ])('refuses %s', (_name, bytes) => {
    const source = hex(bytes);
    expect(() => huffmanDecode(source, 0, source.length)).toThrow('COMPRESSION_ERROR');
  });
});

describe('the decoder', () => {
  it.each([
    ['index 0', '80'],
    ['an index beyond the tables', 'be'],
    ['a table size above the setting', '3fe21f'],
    ['a table size update behind a field', '8220'],
    ['three table size updates', '202020'],
    ['an integer that never ends', 'ff8080808080808001'],
    ['an integer above any use', 'ffffffffff7f'],
    ['a string longer than the block', '400aff'],
    ['a block that is cut off', '40'],
  ])('refuses %s', (_name, bytes) => {
    expect(() => new HpackDecoder(4_096, limits).decode(hex(bytes))).toThrow('COMPRESSION_ERROR');
  });

  it('reports a list above the limits and stays in step', () => {
    const decoder = new HpackDecoder(4_096, { maxListBytes: 200, maxFields: 3 });
    const encoder = new HpackEncoder(4_096);
    expect(decoder.decode(encoder.encode(['a', 'x'.repeat(300), 'b', 'y']))).toEqual({ kind: 'too-large' });
    expect(decoder.decode(encoder.encode(['a', '1', 'b', '1', 'c', '1', 'd', '1']))).toEqual({
      kind: 'too-large',
    });
    expect(fieldsOf(decoder, encoder.encode(['b', 'y', 'd', '1']))).toEqual(['b', 'y', 'd', '1']);
  });

  it('survives arbitrary bytes with COMPRESSION_ERROR alone', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 4 }), (blocks) => {
        const decoder = new HpackDecoder(4_096, limits);
        try {
          for (const block of blocks) decoder.decode(Buffer.from(block));
        } catch (error) {
          expect(String(error)).toContain('COMPRESSION_ERROR');
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('encoder and decoder', () => {
  const name = fc.constantFrom(
    'baggage',
    'forwarded',
    ':authority',
    'x-a',
    'x-b',
    'authorization',
    ':status',
  );
  const value = fc.oneof(
    fc.constantFrom('', '200', 'k8s.namespace.name=default'),
    fc.string({ unit: 'binary-ascii', maxLength: 80 }),
  );
  const list = fc.array(fc.tuple(name, value), { maxLength: 12 }).map((pairs) => pairs.flat());

  it('agree on any sequence of lists while the peer changes its table size', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ list, tableBytes: fc.option(fc.integer({ min: 0, max: 5_000 })) }), {
          maxLength: 20,
        }),
        (steps) => {
          const encoder = new HpackEncoder(4_096);
          const decoder = new HpackDecoder(5_000, limits);
          for (const step of steps) {
            if (step.tableBytes !== null) encoder.setPeerLimit(step.tableBytes);
            expect(fieldsOf(decoder, encoder.encode(step.list))).toEqual(step.list);
          }
        },
      ),
    );
  });

  it('send what repeats as an index', () => {
    const encoder = new HpackEncoder(4_096);
    const fields = [':method', 'CONNECT', 'baggage', 'k8s.namespace.name=default'];
    encoder.encode(fields);
    expect(encoder.encode(fields).length).toBe(2);
  });
});

describe('the dynamic table', () => {
  it('never holds more than its bytes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 500 }),
        fc.array(fc.string({ maxLength: 100 })),
        (capacity, values) => {
          const table = new DynamicTable(capacity);
          for (const value of values) {
            table.insert('n', value);
            expect(table.size).toBeLessThanOrEqual(capacity);
          }
          let sum = 0;
          for (let i = 0; i < table.count; i++) sum += table.at(i)?.size ?? 0;
          expect(sum).toBe(table.size);
        },
      ),
    );
  });
});
