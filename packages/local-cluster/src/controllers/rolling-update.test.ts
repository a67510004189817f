import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nextSizes, type RollingUpdateInput } from './rolling-update.ts';

const set = (name: string, wanted: number, available = wanted) => ({ name, wanted, available });

describe('rolling update', () => {
  const cases: readonly [string, RollingUpdateInput, Record<string, number>][] = [
    [
      'first adds the surge, keeping every old pod',
      { desired: 4, maxSurge: '25%', maxUnavailable: 0, current: set('new', 0), old: [set('old', 4)] },
      { new: 1 },
    ],
    [
      'takes an old pod away once a new one is available',
      { desired: 4, maxSurge: 1, maxUnavailable: 0, current: set('new', 1), old: [set('old', 4)] },
      { old: 3 },
    ],
    [
      'takes no old pod away while the new one is not available',
      { desired: 4, maxSurge: 1, maxUnavailable: 0, current: set('new', 1, 0), old: [set('old', 4)] },
      {},
    ],
    [
      'removes broken old pods although nothing new is available yet',
      { desired: 3, maxSurge: 1, maxUnavailable: 1, current: set('new', 0), old: [set('old', 3, 0)] },
      { new: 1, old: 2 },
    ],
    [
      'moves on although surge and unavailable both round to nothing',
      { desired: 1, maxSurge: 0, maxUnavailable: 0, current: set('new', 0), old: [set('old', 1)] },
      { old: 0 },
    ],
    [
      'follows a smaller desired count at once',
      { desired: 2, maxSurge: 1, maxUnavailable: 0, current: set('new', 5), old: [] },
      { new: 2 },
    ],
    [
      'does nothing when it is done',
      { desired: 3, maxSurge: 1, maxUnavailable: 1, current: set('new', 3), old: [set('old', 0)] },
      {},
    ],
  ];
  it.each(cases)('%s', (_name, input, expected) => {
    expect(Object.fromEntries(nextSizes(input))).toEqual(expected);
  });

  it('reaches the desired state without ever leaving the bounds, whatever they are', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 12 }),
        fc.integer({ min: 0, max: 5 }),
        fc.integer({ min: 0, max: 5 }),
        fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
        (desired, maxSurge, maxUnavailable, oldSizes) => {
          let state = [...oldSizes.map((wanted, i) => set(`old${i}`, wanted)), set('new', 0)];
          const before = oldSizes.reduce((a, b) => a + b, 0);
          for (let step = 0; step < 200; step++) {
            const sizes = nextSizes({
              desired,
              maxSurge,
              maxUnavailable,
              current: state.at(-1) ?? set('new', 0),
              old: state.slice(0, -1),
            });
            if (sizes.size === 0) break;
            // Every pod becomes available before the next step, and removed pods are gone.
            state = state.map(({ name, wanted }) => set(name, sizes.get(name) ?? wanted));
            const total = state.reduce((sum, { wanted }) => sum + wanted, 0);
            const unavailable = maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable;
            expect(total).toBeLessThanOrEqual(Math.max(desired + maxSurge, before));
            expect(total).toBeGreaterThanOrEqual(Math.min(desired - unavailable, before));
          }
          expect(Object.fromEntries(state.map(({ name, wanted }) => [name, wanted]))).toEqual({
            ...Object.fromEntries(oldSizes.map((_, i) => [`old${i}`, 0])),
            new: desired,
          });
        },
      ),
    );
  });
});
