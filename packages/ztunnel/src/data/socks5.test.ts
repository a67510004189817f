import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encodeReply, parseGreeting, parseSocksRequest } from './socks5.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const name = (text: string): string => Buffer.from(text).toString('hex');

describe('parseGreeting', () => {
  it.each([
    ['takes method 0', '05 01 00', { kind: 'parsed', value: undefined, bytes: 3 }],
    ['takes method 0 among others', '05 03 02 01 00', { kind: 'parsed', value: undefined, bytes: 5 }],
    ['leaves what follows', '05 01 00 05 01', { kind: 'parsed', value: undefined, bytes: 3 }],
    ['waits for more', '05 02 00', { kind: 'incomplete' }],
    ['waits for anything', '', { kind: 'incomplete' }],
    ['refuses where every method needs a password', '05 01 02', { kind: 'refused', reply: hex('05ff') }],
    ['refuses SOCKS 4', '04 01', { kind: 'refused', reply: encodeReply(7) }],
  ])('%s', (_, bytes, expected) => {
    expect(parseGreeting(hex(bytes))).toEqual(expected);
  });
});

describe('parseSocksRequest', () => {
  const refused = { kind: 'refused', reply: encodeReply(7) };
  const address = (ip: string, port: number): object => ({ kind: 'address', address: { ip, port } });
  it.each([
    ['IPv4', '05 01 00 01 0a000001 0050', { kind: 'parsed', value: address('10.0.0.1', 80), bytes: 10 }],
    [
      'IPv6',
      '05 01 00 04 20010db8000000000000000000000001 0050',
      { kind: 'parsed', value: address('2001:db8::1', 80), bytes: 22 },
    ],
    [
      'a host name',
      `05 01 00 03 07 ${name('web.app')} 1f90`,
      { kind: 'parsed', value: { kind: 'hostname', hostname: 'web.app', port: 8080 }, bytes: 14 },
    ],
    [
      'an address that is spelt as a name',
      `05 01 00 03 08 ${name('10.0.0.1')} 0050`,
      { kind: 'parsed', value: address('10.0.0.1', 80), bytes: 15 },
    ],
    ['a part of a request', '05 01 00 01 0a0000', { kind: 'incomplete' }],
    ['BIND', '05 02 00 01 0a000001 0050', refused],
    ['another type of address', '05 01 00 09 0a000001 0050', refused],
    ['an empty name', '05 01 00 03 00 0050', refused],
    ['a name with a zero', `05 01 00 03 03 ${name('a\0b')} 0050`, refused],
    ['another version inside', '04 01 00 01 0a000001 0050', refused],
  ])('reads %s', (_, bytes, expected) => {
    expect(parseSocksRequest(hex(bytes))).toEqual(expected);
  });

  it('never throws, and never takes more bytes than there are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const parsed = parseSocksRequest(Buffer.from(bytes));
        if (parsed.kind === 'parsed') expect(parsed.bytes).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 2_000 },
    );
  });
});
