import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { failoverRank, selectAddress, selectEndpoint, weightedPick } from './load-balance.ts';
import type { LoadBalancer, Workload } from '../state/workload.ts';
import { inService, ip, service, storeOf, workload } from '../testing/records.ts';

const here = { region: 'r1', zone: 'z1', subzone: 's1' };
const client = workload('client', '10.0.0.1', { network: 'n1', locality: here });

describe('failoverRank with network, region, zone', () => {
  it.each([
    ['all equal', { network: 'n1', locality: here }, 5],
    ['network and region', { network: 'n1', locality: { ...here, zone: 'z2' } }, 4],
    ['network', { network: 'n1', locality: { ...here, region: 'r2' } }, 3],
    ['region and zone', { network: 'n2', locality: here }, 2],
    ['region', { network: 'n2', locality: { ...here, zone: 'z2' } }, 1],
    ['nothing', { network: 'n2', locality: { ...here, region: 'r2' } }, 0],
  ])('ranks %s as %p %p', (_, place, rank) => {
    expect(failoverRank(['Network', 'Region', 'Zone'], client, workload('w', '10.0.0.2', place))).toBe(rank);
  });

  it('stops at the first scope that differs', () => {
    const far = workload('w', '10.0.0.2', { locality: { ...here, region: 'r2' } });
    expect(failoverRank(['Region', 'Zone'], client, far)).toBe(0);
  });
});

describe('selectEndpoint', () => {
  const pick = (loadBalancer: LoadBalancer, ...endpoints: readonly Partial<Workload>[]): string[] => {
    const web = service('web', '10.1.0.1', { loadBalancer });
    const pods = endpoints.map((more, i) =>
      workload(`w${i}`, `10.0.1.${i}`, { ...inService(web), network: 'n1', ...more }),
    );
    const store = storeOf(web, ...pods);
    const found = new Set<string>();
    for (let i = 0; i < 10; i++) {
      const endpoint = selectEndpoint(store, web, client, 80, 'standard', () => i / 10);
      if (endpoint !== undefined) found.add(endpoint.workload.name);
    }
    return [...found].sort();
  };
  const on = (node: string): Partial<Workload> => ({ node });

  it('stands more endpoints than a call takes arguments', () => {
    const loadBalancer = {
      mode: 'Failover',
      routingPreferences: ['Node'],
      healthPolicy: 'OnlyHealthy',
    } as const;
    const web = service('web', '10.1.0.1', { loadBalancer });
    const pod = workload('w', '10.0.1.1', inService(web));
    const many = Array.from({ length: 150_000 }, () => pod);
    const store = Object.assign(storeOf(web), { endpoints: () => many });
    expect(selectEndpoint(store, web, client, 80, 'standard', () => 0)?.workload.name).toBe('w');
  });

  it.each<[string, LoadBalancer, readonly Partial<Workload>[], string[]]>([
    [
      'STRICT keeps to the node',
      { mode: 'Strict', routingPreferences: ['Node'], healthPolicy: 'OnlyHealthy' },
      [on('node-1'), on('node-2')],
      ['w0'],
    ],
    [
      'STRICT has nothing when nothing matches',
      { mode: 'Strict', routingPreferences: ['Node'], healthPolicy: 'OnlyHealthy' },
      [on('node-2')],
      [],
    ],
    [
      'FAILOVER goes elsewhere when nothing matches',
      { mode: 'Failover', routingPreferences: ['Node'], healthPolicy: 'OnlyHealthy' },
      [on('node-2'), on('node-3')],
      ['w0', 'w1'],
    ],
    [
      'FAILOVER keeps to the best rank',
      { mode: 'Failover', routingPreferences: ['Node'], healthPolicy: 'OnlyHealthy' },
      [on('node-2'), on('node-1')],
      ['w1'],
    ],
    [
      'the unspecified mode ignores preferences',
      { mode: 'Standard', routingPreferences: ['Node'], healthPolicy: 'OnlyHealthy' },
      [on('node-1'), on('node-2')],
      ['w0', 'w1'],
    ],
    [
      'capacity 0 takes an endpoint out',
      { mode: 'Standard', routingPreferences: [], healthPolicy: 'OnlyHealthy' },
      [{ capacity: 0 }, {}],
      ['w1'],
    ],
  ])('%s', (_, loadBalancer, endpoints, expected) => {
    expect(pick(loadBalancer, ...endpoints)).toEqual(expected);
  });

  it('needs the mapping of the endpoint for a named port', () => {
    const web = service('web', '10.1.0.1', { ports: new Map([[80, 0]]) });
    const store = storeOf(
      web,
      workload('a', '10.0.1.1', inService(web)),
      workload('b', '10.0.1.2', inService(web, [[80, 7000]])),
    );
    for (const random of [0, 0.99]) {
      expect(selectEndpoint(store, web, client, 80, 'standard', () => random)).toMatchObject({
        workload: { name: 'b' },
        port: 7000,
      });
    }
  });
});

describe('weightedPick', () => {
  it('picks a candidate of positive weight for every random number', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 5 })),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (weights, random) => {
          const picked = weightedPick(
            weights,
            (w) => w,
            () => random,
          );
          if (weights.some((w) => w > 0)) expect(picked).toBeGreaterThan(0);
          else expect(picked).toBeUndefined();
        },
      ),
    );
  });
});

describe('selectAddress', () => {
  const dual = workload('w', '10.0.0.2', { addresses: [ip('10.0.0.2'), ip('2001:db8::2')] });
  it.each([
    ['the address that was dialled', undefined, '2001:db8::2', '2001:db8::2'],
    ["the family of the service's address", undefined, '2001:db8:1::1', '2001:db8::2'],
    ['the family that the service allows', 'IPv4' as const, '2001:db8:1::1', '10.0.0.2'],
  ])('takes %s', (_, ipFamilies, target, expected) => {
    expect(selectAddress(dual, service('s', undefined, { ipFamilies }), ip(target))).toBe(expected);
  });
});
