import { describe, expect, it } from '@jest/globals';
import { type RequireWaypointDefault, requiresWaypoint } from './require-waypoint.ts';

const REQUIRE = 'weft.dev/require-waypoint';

describe('whether a Service requires its waypoint', () => {
  it.each<[string, object, object, boolean, boolean, RequireWaypointDefault, boolean]>([
    // case, own labels, namespace's, asks for a waypoint, targeted, mesh default, expected
    ['not by itself', {}, {}, true, false, 'policy', false],
    ['when a policy targets it', {}, {}, true, true, 'policy', true],
    ['when a policy targets it and it has no waypoint at all', {}, {}, false, true, 'policy', true],
    ['by its own label', { [REQUIRE]: 'true' }, {}, false, false, 'never', true],
    ["by its namespace's label", {}, { [REQUIRE]: 'true' }, true, false, 'policy', true],
    [
      'not when its own label says no',
      { [REQUIRE]: 'false' },
      { [REQUIRE]: 'true' },
      true,
      true,
      'policy',
      false,
    ],
    ['when only it says yes', { [REQUIRE]: 'true' }, { [REQUIRE]: 'false' }, true, false, 'policy', true],
    ['by an unreadable label no more than without', { [REQUIRE]: 'yes' }, {}, true, false, 'policy', false],
    ['by an unreadable label no less than without', { [REQUIRE]: 'yes' }, {}, true, true, 'policy', true],
    ['when the mesh wants it of all that ask', {}, {}, true, false, 'asked', true],
    ['not of those that never asked', {}, {}, false, false, 'asked', false],
    ['not when the mesh never wants it', {}, {}, true, true, 'never', false],
  ])('%s', (_case, labels, namespaceLabels, asksForWaypoint, isTargeted, meshDefault, expected) => {
    expect(
      requiresWaypoint({
        labels: labels as Record<string, string>, // the table's rows
        namespaceLabels: namespaceLabels as Record<string, string>, // likewise
        asksForWaypoint,
        isTargeted,
        meshDefault,
      }),
    ).toBe(expected);
  });
});
