import { describe, expect, it } from '@jest/globals';
import { growth, growthTable, median, type Sample } from './growth.ts';

const sample = (more: Partial<Sample> = {}): Sample => ({
  node: 'n',
  rssMib: 100,
  anonymousMib: 50,
  heapMib: 30,
  descriptors: 60,
  sockets: 40,
  threads: 13,
  openConnections: 0,
  ...more,
});
const grown = (during: readonly Sample[], after = sample()): string[] =>
  growth(
    [sample()],
    during.map((s) => [s]),
    [after],
  )
    .filter((row) => row.grew)
    .map(({ resource }) => resource);

describe('growth', () => {
  it('is none in a process that goes up and down', () => {
    expect(grown(Array.from({ length: 40 }, (_, i) => sample({ rssMib: 100 + (i % 5) * 20 })))).toEqual([]);
  });
  it('is found in memory that goes up all the time', () => {
    expect(grown(Array.from({ length: 40 }, (_, i) => sample({ rssMib: 100 + i * 2 })))).toEqual(['rssMib']);
  });
  it('is not the height of what memory comes down from', () => {
    const rss = (i: number): number => (i < 30 ? 100 + (i % 5) : 100 + (i % 5) * 40);
    expect(grown(Array.from({ length: 40 }, (_, i) => sample({ rssMib: rss(i) })))).toEqual([]);
  });
  it('is found in descriptors that stay open at rest', () => {
    expect(grown([sample(), sample(), sample(), sample()], sample({ descriptors: 90 }))).toEqual([
      'descriptors',
    ]);
  });
  it('is assumed where nothing was measured', () => {
    expect(grown([]).length).toBe(7);
  });
  it('is printed as a table', () => {
    expect(growthTable(growth([sample()], [[sample({ rssMib: 101.25 })]], [sample()]))).toContain(
      '| n | rssMib | 100 | 101.3 | 101.3 | 100 | ok |',
    );
  });
});

it('takes the median of even and odd numbers of values', () => {
  expect([median([3, 1, 2]), median([1, 2, 3, 10]), median([])]).toEqual([2, 2.5, Number.NaN]);
});
