import type { EndpointSpec } from './host.ts';
import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { HostSets, type HostSetOptions } from './host-sets.ts';
import { defaultOutlierDetection } from './outlier-config.ts';
import { OutlierDetector } from './outlier-detection.ts';
import { spec } from './testing/endpoint-spec.ts';

function hostSets(o: Partial<HostSetOptions> = {}): HostSets {
  let state = 1;
  return new HostSets({
    policy: { kind: 'round-robin' },
    random: () => {
      state = (state * 48_271) % 2_147_483_647;
      return state / 2_147_483_647;
    },
    overprovisioningPercent: 140,
    panicPercent: 50,
    failTrafficOnPanic: false,
    localityWeighted: false,
    ...o,
  });
}

function picks(sets: HostSets, times: number, match?: Record<string, string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < times; i++) {
    const key = sets.pick(match === undefined ? {} : { metadataMatch: match })?.key ?? 'none';
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

describe('host sets', () => {
  it('keep the host of an address over updates, with its load', () => {
    const sets = hostSets();
    sets.update([spec('10.0.0.1'), spec('10.0.0.2')]);
    const before = sets.hosts.get('10.0.0.1:80');
    if (before !== undefined) before.activeRequests = 7;
    const removed = sets.update([spec('10.0.0.1', { weight: 5 }), spec('10.0.0.3')]);
    expect(sets.hosts.get('10.0.0.1:80')).toBe(before);
    expect(before?.weight).toBe(5);
    expect(removed.map((host) => host.key)).toEqual(['10.0.0.2:80']);
  });

  it('tell when an address got other metadata, for its connections lead to somebody else', () => {
    const sets = hostSets();
    const workload = (name: string): EndpointSpec =>
      spec('10.0.0.1', { metadata: new Map([['istio', { workload: name }]]) });
    sets.update([workload('a')]);
    expect(sets.update([workload('a')])).toEqual([]);
    expect(sets.update([workload('b')]).map((host) => host.key)).toEqual(['10.0.0.1:80']);
    expect(sets.hosts.size).toBe(1);
  });

  it('send nothing to hosts that are unhealthy or draining', () => {
    const sets = hostSets();
    sets.update([
      spec('10.0.0.1'),
      spec('10.0.0.2'),
      spec('10.0.0.3', { health: 'unhealthy' }),
      spec('10.0.0.4', { health: 'draining' }),
    ]);
    expect([...picks(sets, 50).keys()].sort()).toEqual(['10.0.0.1:80', '10.0.0.2:80']);
  });

  it('spill over to the next priority as the first one sickens', () => {
    const sets = hostSets();
    sets.update([
      spec('10.0.0.1'),
      spec('10.0.0.2', { health: 'unhealthy' }),
      spec('10.0.1.1', { priority: 1 }),
    ]);
    const share = (picks(sets, 4000).get('10.0.0.1:80') ?? 0) / 4000;
    expect(share).toBeGreaterThan(0.65);
    expect(share).toBeLessThan(0.75);
  });

  it('use every host in panic, or none when that is configured, or nobody at threshold 0', () => {
    const specs = [1, 2, 3].map((i) => spec(`10.0.0.${i}`, { health: i === 1 ? 'healthy' : 'unhealthy' }));
    const panicking = hostSets();
    panicking.update(specs);
    expect(picks(panicking, 60).size).toBe(3);
    const failing = hostSets({ failTrafficOnPanic: true });
    failing.update(specs);
    expect([...picks(failing, 20).keys()]).toEqual(['none']);
    const never = hostSets({ panicPercent: 0 });
    never.update(specs.slice(1));
    expect([...picks(never, 20).keys()]).toEqual(['none']);
  });

  describe('with subsets', () => {
    const version = (v: string): Partial<EndpointSpec> => ({
      metadata: new Map([['envoy.lb', { version: v }]]),
    });
    const with2 = (fallback: 'none' | 'any' | 'default'): HostSets => {
      const selectors = [new Set(['version'])];
      const sets = hostSets({ subsets: { selectors, fallback, defaultSubset: { version: 'v1' } } });
      sets.update([spec('10.0.0.1', version('v1')), spec('10.0.0.2', version('v2'))]);
      return sets;
    };

    it.each<['none' | 'any' | 'default', Record<string, string> | undefined, readonly string[]]>([
      ['none', { version: 'v2' }, ['10.0.0.2:80']],
      ['none', { version: 'v3' }, ['none']],
      ['none', { stage: 'canary' }, ['none']],
      ['none', undefined, ['none']],
      ['any', { version: 'v3' }, ['10.0.0.1:80', '10.0.0.2:80']],
      ['default', { version: 'v3' }, ['10.0.0.1:80']],
      ['default', undefined, ['10.0.0.1:80']],
    ])('and fallback %s, %j goes to %j', (fallback, match, expected) => {
      expect([...picks(with2(fallback), 20, match).keys()].sort()).toEqual(expected);
    });

    it('ignore what a route demands where the cluster has none', () => {
      const sets = hostSets();
      sets.update([spec('10.0.0.1', version('v1'))]);
      expect([...picks(sets, 5, { version: 'v9' }).keys()]).toEqual(['10.0.0.1:80']);
    });
  });

  it('weigh localities, and give nothing to one without a weight', () => {
    const sets = hostSets({ localityWeighted: true });
    const zone = (z: string): EndpointSpec['locality'] => ({ region: '', zone: z, subZone: '' });
    sets.update([
      spec('10.0.0.1', { locality: zone('a'), localityWeight: 3 }),
      spec('10.0.0.2', { locality: zone('b'), localityWeight: 1 }),
      spec('10.0.0.3', { locality: zone('c') }),
    ]);
    expect(picks(sets, 40)).toEqual(
      new Map([
        ['10.0.0.1:80', 30],
        ['10.0.0.2:80', 10],
      ]),
    );
  });

  it('leave out what outlier detection ejected', () => {
    const clock = new ManualClock();
    const config = { ...defaultOutlierDetection, maxEjectionPercent: 100 };
    const onDetected = (): void => undefined;
    const detector: OutlierDetector = new OutlierDetector({
      config,
      clock,
      random: () => 0,
      events: { onDetected, onChange: () => sets.refresh() },
    });
    const sets = hostSets({ detector, panicPercent: 0 });
    sets.update([spec('10.0.0.1'), spec('10.0.0.2')]);
    for (let i = 0; i < 5; i++)
      sets.hosts.get('10.0.0.1:80')?.reportResult({ kind: 'response', status: 500 });
    expect([...picks(sets, 10).keys()]).toEqual(['10.0.0.2:80']);
    detector.close();
    expect(clock.pending).toBe(0);
  });
});
