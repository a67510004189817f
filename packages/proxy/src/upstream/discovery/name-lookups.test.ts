import { setMaxListeners } from 'node:events';
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { ResolvedAddress } from './dns.ts';
import { MAX_RUNNING_LOOKUPS, MAX_WAITING_NAMES, NameLookups } from './name-lookups.ts';

const { signal } = new AbortController();
const answer: readonly ResolvedAddress[] = [{ address: '192.0.2.1', family: 4 }];
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('lookups of names that clients choose', () => {
  let asked: string[];
  let answers: Map<string, (error?: Error) => void>;
  let lookups: NameLookups;
  beforeEach(() => {
    asked = [];
    answers = new Map();
    lookups = new NameLookups((name) => {
      asked.push(name);
      return new Promise((resolve, reject) =>
        answers.set(name, (error) => (error === undefined ? resolve(answer) : reject(error))),
      );
    });
  });

  it('ask once for all who wait for a name, and again for who comes after the answer', async () => {
    const both = Promise.all([lookups.resolve('a', signal), lookups.resolve('a', signal)]);
    answers.get('a')?.();
    expect(await both).toEqual([answer, answer]);
    const later = lookups.resolve('a', signal);
    answers.get('a')?.(new Error('ENOTFOUND'));
    await expect(later).rejects.toThrow('ENOTFOUND');
    expect(asked).toEqual(['a', 'a']);
  });

  it('leave threads to others: names of silent servers wait, and are forgotten with who asked', async () => {
    const silent = new AbortController();
    setMaxListeners(0, silent.signal);
    const failures: Promise<unknown>[] = [];
    for (let i = 0; i < 100; i++) {
      const name = `silent-${i}`;
      failures.push(lookups.resolve(name, silent.signal).catch((error: unknown) => error));
    }
    const other = lookups.resolve('other', signal);
    expect(asked).toHaveLength(MAX_RUNNING_LOOKUPS);
    silent.abort(new Error('timeout'));
    expect(new Set(await Promise.all(failures))).toEqual(new Set([silent.signal.reason]));
    answers.get('silent-0')?.();
    await turn();
    // Next, although a hundred names were before it.
    expect(asked.at(-1)).toBe('other');
    answers.get('other')?.();
    expect(await other).toEqual(answer);
    expect(asked).toHaveLength(MAX_RUNNING_LOOKUPS + 1);
  });

  it('are refused when too many names are waited for, but not who waits for one of them', async () => {
    const waiting = new AbortController();
    setMaxListeners(0, waiting.signal);
    const all: Promise<unknown>[] = [];
    for (let i = 0; i < MAX_RUNNING_LOOKUPS + MAX_WAITING_NAMES; i++)
      all.push(lookups.resolve(`n${i}`, waiting.signal).catch(() => undefined));
    await expect(lookups.resolve('one-more', signal)).rejects.toThrow('too many names');
    all.push(lookups.resolve('n7', waiting.signal).catch(() => undefined));
    waiting.abort();
    await Promise.all(all);
    void lookups.resolve('one-more', signal);
    answers.get('n0')?.();
    await turn();
    expect(asked.at(-1)).toBe('one-more');
  });
});
