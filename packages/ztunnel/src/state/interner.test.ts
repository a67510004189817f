import { describe, expect, it } from '@jest/globals';
import { Interner } from './interner.ts';

describe('Interner', () => {
  it('gives the first of equal values', () => {
    const interner = new Interner();
    const first = interner.value('ports', () => ({ http: 80 }));
    expect(interner.value('ports', () => ({ http: 80 }))).toBe(first);
    expect(interner.string('')).toBe('');
    expect(interner.string('node-1')).toBe('node-1');
  });

  it('goes on sharing what is in use after any number of values that came once', () => {
    const interner = new Interner(10);
    const inUse = interner.value('in use', () => ({}));
    for (let i = 0; i < 1_000; i++) {
      interner.string(`account-${i}`);
      expect(interner.value('in use', () => ({}))).toBe(inUse);
    }
  });

  it('forgets what does not come again', () => {
    const interner = new Interner(10);
    const once = interner.value('once', () => ({}));
    for (let i = 0; i < 20; i++) interner.string(`account-${i}`);
    expect(interner.value('once', () => ({}))).not.toBe(once);
  });
});
