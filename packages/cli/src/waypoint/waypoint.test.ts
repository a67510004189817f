import { describe, expect, it } from '@jest/globals';
import { waypointGateway } from './gateway.ts';
import { enrollNamespace } from './enroll.ts';
import { untilProgrammed } from './wait.ts';

describe('weft waypoint', () => {
  it('labels the traffic type only when one is asked for', () => {
    const o = { name: 'waypoint', namespace: 'shop', revision: undefined };
    expect(waypointGateway({ ...o, trafficType: undefined }).metadata.labels).toBeUndefined();
    expect(waypointGateway({ ...o, trafficType: 'all' }).metadata.labels).toEqual({
      'istio.io/waypoint-for': 'all',
    });
  });

  it('refuses the name that means none', () => {
    const o = { name: 'none', namespace: 'shop', revision: undefined, trafficType: undefined };
    expect(() => waypointGateway(o)).toThrow(expect.objectContaining({ code: 'WEFT1906' }));
  });

  it('waits until the control plane says Programmed, and gives its reason when it never does', async () => {
    const conditions = [
      { type: 'Programmed', status: 'False', reason: 'AddressNotUsable', message: 'no pod' },
    ];
    const client = { get: async () => ({ metadata: {}, status: { conditions } }) };
    const waypoint = { name: 'waypoint', namespace: 'shop' };
    // The client's methods are generic over the resource; this one knows one.
    await expect(untilProgrammed(client as never, waypoint, 0)).rejects.toMatchObject({
      code: 'WEFT1907',
      message: 'shop/waypoint: AddressNotUsable: no pod',
    });
    conditions.splice(0, 1, { type: 'Programmed', status: 'True', reason: 'Programmed', message: '' });
    await expect(untilProgrammed(client as never, waypoint, 0)).resolves.toBeDefined();
  });

  it.each([
    ['labels a namespace that has no waypoint', {}, false, ['waypoint']],
    ['leaves one alone that has this', { 'istio.io/use-waypoint': 'waypoint' }, false, []],
    ['replaces another when told to', { 'istio.io/use-waypoint': 'old' }, true, ['waypoint']],
  ])('%s', async (_, labels, overwrite, patched) => {
    const patches: unknown[] = [];
    const client = {
      get: async () => ({ metadata: { labels } }),
      patch: async (_type: unknown, _name: string, _ns: unknown, body: { metadata: { labels: object } }) =>
        patches.push(...Object.values(body.metadata.labels)),
    };
    const warning = await enrollNamespace(client as never, {
      namespace: 'shop',
      waypoint: 'waypoint',
      overwrite,
    });
    expect(patches).toEqual(patched);
    expect(warning).toContain('kubectl label namespace shop istio.io/dataplane-mode=ambient');
  });

  it('does not take a namespace from another waypoint unasked', async () => {
    const client = { get: async () => ({ metadata: { labels: { 'istio.io/use-waypoint': 'old' } } }) };
    const o = { namespace: 'shop', waypoint: 'waypoint', overwrite: false };
    await expect(enrollNamespace(client as never, o)).rejects.toMatchObject({ code: 'WEFT1908' });
  });
});
