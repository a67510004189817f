import { describe, expect, it } from '@jest/globals';
import { encodeProxyHeader } from './proxy-header.ts';
import { at } from '../testing/records.ts';

const signature = '0d0a0d0a000d0a515549540a';
const identity = 'spiffe://td/ns/a/sa/b';
const identityTlv = `d00015${Buffer.from(identity).toString('hex')}`;

describe('encodeProxyHeader', () => {
  it.each([
    [
      'IPv4',
      { source: at('10.0.0.1', 0x1234), destination: at('10.0.0.2', 80), sourceIdentity: undefined },
      '2111000c0a0000010a00000212340050',
    ],
    [
      'IPv4 with an identity',
      { source: at('10.0.0.1', 0x1234), destination: at('10.0.0.2', 80), sourceIdentity: identity },
      `211100240a0000010a00000212340050${identityTlv}`,
    ],
    [
      'IPv6',
      { source: at('2001:db8::1', 1), destination: at('2001:db8::2', 2), sourceIdentity: undefined },
      '2121002420010db800000000000000000000000120010db800000000000000000000000200010002',
    ],
    [
      'no addresses where the families differ',
      { source: at('10.0.0.1', 1), destination: at('2001:db8::2', 2), sourceIdentity: identity },
      `21000018${identityTlv}`,
    ],
  ])('writes %s', (_, header, expected) => {
    expect(Buffer.from(encodeProxyHeader(header)).toString('hex')).toBe(signature + expected);
  });
});
