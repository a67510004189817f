import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { FilterState } from '../../engine/types.ts';
import type { Host } from '../host.ts';
import { requestContext } from '../testing/engine.ts';
import { OnDemandHosts } from './on-demand-hosts.ts';
import { ORIGINAL_DST_FILTER_STATE, originalDestination } from './original-dst.ts';

function setup() {
  const clock = new ManualClock();
  const removed: string[] = [];
  const config = {
    header: undefined,
    metadataKey: undefined,
    portOverride: 15_008,
    cleanupIntervalMs: 60_000,
  };
  const hosts = new OnDemandHosts({
    addressOf: originalDestination(config),
    maxHosts: 10,
    cleanupIntervalMs: 60_000,
    clock,
    isBusy: (host) => host.activeRequests > 0,
    onRemoved: (host) => removed.push(host.key),
  });
  const pick = (ip: string): Host | undefined =>
    hosts.pick(requestContext({ localAddress: { ip, port: 80 } }));
  return { clock, removed, hosts, pick };
}

describe('original destinations', () => {
  it('are one host per address, forgotten when nobody used it between two sweeps', async () => {
    const { clock, removed, hosts, pick } = setup();
    const host = pick('10.0.0.1');
    expect(pick('10.0.0.1')).toBe(host);
    pick('10.0.0.2');
    await clock.advance(60_000);
    pick('10.0.0.1');
    await clock.advance(60_000);
    expect(removed).toEqual(['10.0.0.2:15008']);
    await clock.advance(60_000);
    expect(hosts.hosts.size).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it('stay while requests run there', async () => {
    const { clock, hosts, pick } = setup();
    const host = pick('10.0.0.1');
    if (host !== undefined) host.activeRequests = 1;
    await clock.advance(300_000);
    expect(hosts.hosts.size).toBe(1);
    hosts.close();
    expect(clock.pending).toBe(0);
  });

  it('follow the filter state first, and are nowhere when that says nonsense', () => {
    const { hosts } = setup();
    const at = (address: string) => {
      const filterState = new FilterState();
      filterState.set(ORIGINAL_DST_FILTER_STATE, address);
      return hosts.pick(requestContext({ filterState, localAddress: { ip: '10.0.0.1', port: 80 } }));
    };
    expect(at('[fd00::7]:443')?.key).toBe('[fd00::7]:15008');
    expect(at('nonsense')).toBeUndefined();
    hosts.close();
  });
});
