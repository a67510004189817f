import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import { ManualClock } from '@weft/telemetry';
import { checkFields } from '../field-support/check-fields.ts';
import { compileLoadBalancing } from './config/load-balancing.ts';
import { HostSets } from './host-sets.ts';
import { slowStartShare } from './slow-start.ts';
import { spec } from './testing/endpoint-spec.ts';

const TYPE = 'envoy.config.cluster.v3.Cluster';
const POLICIES = 'type.googleapis.com/envoy.extensions.load_balancing_policies';

function balancing(cluster: object) {
  const bytes = envoyFromJson(TYPE, { name: 'c', ...cluster });
  checkFields(TYPE, bytes, { resource: 'c' });
  return compileLoadBalancing(envoy.config.cluster.v3.Cluster.decode(bytes));
}
const policy = (name: string, config: object) => ({
  load_balancing_policy: {
    policies: [
      { typed_extension_config: { name: 'p', typed_config: { '@type': `${POLICIES}.${name}`, ...config } } },
    ],
  },
});

it.each<[aggression: number, minimumShare: number, ageMs: number, share: number]>([
  [1, 0.1, 0, 0.1],
  [1, 0.1, 5_000, 0.5],
  [1, 0.1, 10_000, 1],
  [1, 0.1, 99_000, 1],
  [2, 0, 2_500, 0.5],
  [0.5, 0, 5_000, 0.25],
  [1, 0, 0, 0.0001],
])(
  'with aggression %s and at least %s, a host of %s ms has %s of its weight',
  (aggression, minimumShare, age, share) => {
    expect(slowStartShare({ windowMs: 10_000, aggression, minimumShare }, age)).toBeCloseTo(share, 6);
  },
);

describe('slow_start_config', () => {
  const slow_start_config = {
    slow_start_window: '10s',
    aggression: { default_value: 2, runtime_key: 'a' },
    min_weight_percent: { value: 20 },
  };
  const expected = { windowMs: 10_000, aggression: 2, minimumShare: 0.2 };

  it.each<[string, object]>([
    ['of a cluster, round robin', { round_robin_lb_config: { slow_start_config } }],
    [
      'of a cluster, least request',
      { lb_policy: 'LEAST_REQUEST', least_request_lb_config: { slow_start_config } },
    ],
    ['of a policy, round robin', policy('round_robin.v3.RoundRobin', { slow_start_config })],
    ['of a policy, least request', policy('least_request.v3.LeastRequest', { slow_start_config })],
  ])('%s', (_, cluster) => {
    expect(balancing(cluster).slowStart).toEqual(expected);
  });

  it('without window is none', () => {
    expect(balancing({ round_robin_lb_config: { slow_start_config: {} } }).slowStart).toBeUndefined();
  });
});

describe.each(['round-robin', 'least-request'] as const)('slow start, %s', (kind) => {
  function sets(clock: ManualClock) {
    const config = { windowMs: 10_000, aggression: 1, minimumShare: 0.1 };
    return new HostSets({
      policy: kind === 'round-robin' ? { kind } : { kind, choiceCount: 2, activeRequestBias: 1 },
      random: () => 0,
      overprovisioningPercent: 140,
      panicPercent: 0,
      failTrafficOnPanic: false,
      localityWeighted: false,
      slowStart: { config, now: () => clock.now() },
    });
  }
  const share = (hosts: HostSets, key: string): number => {
    const picked = Array.from({ length: 1_000 }, () => hosts.pick({})?.key);
    return picked.filter((k) => k === key).length / picked.length;
  };

  it('gives a new host little, and then its part', async () => {
    const clock = new ManualClock();
    const hosts = sets(clock);
    hosts.update([spec('10.0.0.1')]);
    await clock.advance(20_000);
    hosts.update([spec('10.0.0.1'), spec('10.0.0.2')]);
    expect(share(hosts, '10.0.0.2:80')).toBeCloseTo(1 / 11, 1);
    await clock.advance(5_000);
    expect(share(hosts, '10.0.0.2:80')).toBeCloseTo(1 / 3, 1);
    await clock.advance(5_000);
    expect(share(hosts, '10.0.0.2:80')).toBeCloseTo(1 / 2, 1);
  });

  it('begins anew when a host becomes healthy', async () => {
    const clock = new ManualClock();
    const hosts = sets(clock);
    hosts.update([spec('10.0.0.1'), spec('10.0.0.2', { health: 'unhealthy' })]);
    await clock.advance(20_000);
    hosts.update([spec('10.0.0.1'), spec('10.0.0.2')]);
    expect(share(hosts, '10.0.0.2:80')).toBeCloseTo(1 / 11, 1);
  });
});
