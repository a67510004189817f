import { describe, expect, it } from '@jest/globals';
import { checkWaypointBindings, checkWaypoints } from './waypoint-checks.ts';

const object = (
  name: string,
  conditions: readonly Record<'type' | 'status' | 'reason' | 'message', string>[],
) => ({
  apiVersion: 'v1',
  kind: 'Any',
  metadata: { namespace: 'shop', name },
  status: { conditions: conditions as never }, // without the times, which nobody looks at
});
const gateway = (name: string, status: string) =>
  object(name, [{ type: 'Programmed', status, reason: 'Pending', message: 'no instance' }]);
const service = (name: string, status: string, message: string) =>
  object(name, [{ type: 'istio.io/WaypointBound', status, reason: 'WaypointIsNotReady', message }]);

describe('weft check, of waypoints', () => {
  it('says nothing where there are none', () => {
    expect(checkWaypoints([])).toBeUndefined();
    expect(checkWaypointBindings([object('catalog', [])])).toBeUndefined();
  });

  it('fails with the reason of each waypoint that is not ready', () => {
    expect(checkWaypoints([gateway('a', 'True')])).toEqual({
      name: '1 of 1 waypoints are ready',
      status: 'ok',
    });
    expect(checkWaypoints([gateway('a', 'True'), gateway('b', 'False'), object('c', [])])).toMatchObject({
      name: '1 of 3 waypoints are ready',
      status: 'failed',
      message: 'shop/b: Pending: no instance\nshop/c: no control plane has looked at it yet',
    });
  });

  it('warns of services that are reached around their waypoint, and fails for those that are not reached', () => {
    const around = service('around', 'False', 'waypoint shop/w does not exist');
    const refused = service(
      'refused',
      'False',
      'waypoint shop/w does not exist; requests are refused, because',
    );
    expect(checkWaypointBindings([service('a', 'True', '')])).toMatchObject({ status: 'ok' });
    expect(checkWaypointBindings([service('a', 'True', ''), around])).toMatchObject({
      name: '1 of 2 services have the waypoint that they ask for',
      status: 'warning',
      message: 'shop/around: WaypointIsNotReady: waypoint shop/w does not exist',
    });
    expect(checkWaypointBindings([around, refused])).toMatchObject({ status: 'failed' });
  });
});
