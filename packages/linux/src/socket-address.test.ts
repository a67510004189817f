import { describe, expect, it } from '@jest/globals';
import { decodeSocketAddress, encodeSocketAddress, encodeUnixAddress } from './socket-address.ts';

describe('socket addresses', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::', '::'],
    ['::1', '::1'],
    ['2001:db8::8:800:200c:417a', '2001:db8::8:800:200c:417a'],
    ['2001:0db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['fe80::', 'fe80::'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ])('reads back %s as %s', (text, canonical) => {
    expect(decodeSocketAddress(encodeSocketAddress(text, 15008))).toEqual({
      address: canonical,
      port: 15008,
    });
  });

  it.each(['', 'localhost', '10.0.0', 'fe80::1%eth0'])('refuses %j', (text) => {
    expect(() => encodeSocketAddress(text, 1)).toThrow(TypeError);
  });

  it('refuses a socket path that does not fit', () => {
    expect(() => encodeUnixAddress('x'.repeat(108))).toThrow(TypeError);
    expect(encodeUnixAddress('/tmp/s')).toHaveLength(9);
  });
});
