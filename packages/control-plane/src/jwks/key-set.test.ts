import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { usableKeySet } from './key-set.ts';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const good = { ...publicKey.export({ format: 'jwk' }), kid: 'good' };
const set = (...keys: unknown[]): string => JSON.stringify({ keys });

describe('usable keys of a set', () => {
  it.each([
    ['all that verify', set(good), set(good)],
    ['not what it cannot read', set({ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }, good, 7), set(good)],
    ['not shared secrets', set({ kty: 'oct', k: 'c2VjcmV0' }, good), set(good)],
    ['not private keys', set(privateKey.export({ format: 'jwk' })), undefined],
    ['none of an empty set', set(), undefined],
    ['none of another document', '{"issuer":"x"}', undefined],
    ['none of a page that is not JSON', '<html>', undefined],
  ])('are %s', (_case, text, expected) => {
    expect(usableKeySet(text)).toBe(expected);
  });
});
