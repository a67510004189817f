import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseTcpSegment } from './packet-capture.ts';

const hex = (...parts: string[]): Buffer => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex');
const ethernet = (type: string): string => `020000000001 020000000002 ${type}`;
const tcp = 'd903 3a98 00000001 00000002 5018 0040 0000 0000';

describe('parsing a frame', () => {
  it('finds the TCP segment of IPv4 and leaves out the padding of short frames', () => {
    const ip = '4500 002a 0000 4000 4006 0000 0a000001 0a000002';
    expect(parseTcpSegment(hex(ethernet('0800'), ip, tcp, '6869', '00000000'))).toEqual({
      source: '10.0.0.1',
      sourcePort: 55_555,
      destination: '10.0.0.2',
      destinationPort: 15_000,
      payload: Buffer.from('hi'),
    });
  });

  it('finds the TCP segment of IPv6', () => {
    const ip = '60000000 0016 06 40 fd000000000000000000000000000001 fd000000000000000000000000000002';
    const segment = parseTcpSegment(hex(ethernet('86dd'), ip, tcp, '6869'));
    expect(segment).toMatchObject({ source: 'fd00:0:0:0:0:0:0:1', payload: Buffer.from('hi') });
  });

  it.each([
    ['ARP', hex(ethernet('0806'), '00'.repeat(40))],
    ['UDP', hex(ethernet('0800'), '4500 002a 0000 4000 4011 0000 0a000001 0a000002', '00'.repeat(20))],
    ['a runt', hex('0200')],
  ])('passes over %s', (_what, frame) => {
    expect(parseTcpSegment(frame)).toBeUndefined();
  });

  it('never throws, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom('0800', '86dd'), (bytes, type) => {
        parseTcpSegment(Buffer.concat([hex(ethernet(type)), bytes]));
      }),
    );
  });
});
