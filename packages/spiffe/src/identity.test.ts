import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatSpiffeId, parseSpiffeId, peerIdentity, toSpiffeId } from './identity.ts';

describe('parseSpiffeId', () => {
  it('reads back what formatSpiffeId writes', () => {
    const part = fc.stringMatching(/^[a-z0-9.-]{1,20}$/);
    fc.assert(
      fc.property(part, part, part, (trustDomain, namespace, serviceAccount) => {
        const identity = { trustDomain, namespace, serviceAccount };
        expect(parseSpiffeId(formatSpiffeId(identity))).toEqual(identity);
      }),
    );
  });

  it.each([
    '',
    'spiffe://td',
    'spiffe://td/ns/a/sa',
    'spiffe://td/ns/a/sa/',
    'spiffe:///ns/a/sa/b',
    'spiffe://td/ns/a/sa/b/c',
    'spiffe://td/sa/a/ns/b',
    'https://td/ns/a/sa/b',
    ' spiffe://td/ns/a/sa/b',
    `spiffe://td/ns/a/sa/${'b'.repeat(2_048)}`,
  ])('refuses %j', (text) => {
    expect(parseSpiffeId(text)).toBeUndefined();
    expect(() => toSpiffeId(text)).toThrow(expect.objectContaining({ code: 'WEFT1601' }));
  });

  it('cannot be made to write a namespace that reaches into the next part', () => {
    const parts = { trustDomain: 'td', namespace: 'a/sa/admin', serviceAccount: 'b' };
    expect(() => formatSpiffeId(parts)).toThrow(expect.objectContaining({ code: 'WEFT1601' }));
  });
});

describe('peerIdentity', () => {
  it.each([
    ['URI:spiffe://td/ns/a/sa/b', 'spiffe://td/ns/a/sa/b'],
    ['DNS:x.example, URI:spiffe://td/ns/a/sa/b', 'spiffe://td/ns/a/sa/b'],
    ['URI:spiffe://td/ns/a/sa/b, URI:spiffe://td/ns/a/sa/c', undefined],
    ['DNS:"x, URI:spiffe://td/ns/a/sa/b, y"', undefined],
    ['URI:https://example', undefined],
    ['DNS:x.example', undefined],
    [undefined, undefined],
  ])('of %s is %s', (subjectAltName, identity) => {
    expect(peerIdentity({ subjectAltName })).toBe(identity);
  });
});
