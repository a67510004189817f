import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import type { DnsFamily } from '../config/cluster-config.ts';
import { type Endpoints, noEndpoints } from '../config/endpoints.ts';
import { endpointAt } from '../host.ts';
import { discoverByDns, type ResolvedAddress } from './dns.ts';

const spec = endpointAt({ kind: 'ip', ip: 'svc.example', port: 80 });
const v4 = (address: string): ResolvedAddress => ({ address, family: 4 });
const v6 = (address: string): ResolvedAddress => ({ address, family: 6 });

function setup(o: { addresses?: 'all' | 'first'; family?: DnsFamily } = {}) {
  const clock = new ManualClock();
  const updates: Endpoints[] = [];
  const log: string[] = [];
  let answer: () => Promise<readonly ResolvedAddress[]> = async () => [];
  const start = () =>
    discoverByDns(
      {
        kind: 'dns',
        addresses: o.addresses ?? 'all',
        family: o.family ?? 'auto',
        endpoints: { ...noEndpoints, specs: [spec] },
        refreshMs: 5_000,
        failureRefreshMs: 1_000,
      },
      { clock, resolve: () => answer() },
      {
        update: (endpoints) => updates.push(endpoints),
        settled: () => log.push('settled'),
        failed: () => log.push('failed'),
      },
    );
  const hosts = () => updates.at(-1)?.specs.map((s) => (s.address.kind === 'ip' ? s.address.ip : ''));
  const resolveTo = (...addresses: ResolvedAddress[]): void => {
    answer = async () => addresses;
  };
  const fail = (): void => {
    answer = async () => {
      throw new Error('ENOTFOUND');
    };
  };
  return { clock, updates, log, start, hosts, resolveTo, fail };
}

describe('DNS discovery', () => {
  it('makes every address a host, and publishes only what changed', async () => {
    const { clock, updates, start, hosts, resolveTo } = setup();
    resolveTo(v4('10.0.0.1'), v4('10.0.0.2'));
    const discovery = start();
    await clock.advance(0);
    expect(hosts()).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(updates[0]?.specs[0]?.hostname).toBe('svc.example');
    await clock.advance(5_000);
    expect(updates).toHaveLength(1);
    resolveTo(v4('10.0.0.3'));
    await clock.advance(5_000);
    expect(hosts()).toEqual(['10.0.0.3']);
    discovery.close();
    expect(clock.pending).toBe(0);
  });

  it('keeps the hosts through a failure, asks sooner, and settles either way', async () => {
    const { clock, log, start, hosts, resolveTo, fail } = setup();
    fail();
    const discovery = start();
    await clock.advance(0);
    expect(log).toEqual(['failed', 'settled']);
    resolveTo(v4('10.0.0.1'));
    await clock.advance(1_000);
    fail();
    await clock.advance(5_000);
    expect(hosts()).toEqual(['10.0.0.1']);
    discovery.close();
  });

  it.each<[DnsFamily, readonly string[]]>([
    ['auto', ['fd00::1']],
    ['v4-only', ['10.0.0.1']],
    ['v4-preferred', ['10.0.0.1']],
    ['v6-only', ['fd00::1']],
    ['all', ['fd00::1', '10.0.0.1']],
  ])('chooses families: %s', async (family, expected) => {
    const { clock, start, hosts, resolveTo } = setup({ family });
    resolveTo(v4('10.0.0.1'), v6('fd00::1'));
    const discovery = start();
    await clock.advance(0);
    expect(hosts()).toEqual(expected);
    discovery.close();
  });

  it('makes one host of a logical name, with the others as alternatives', async () => {
    const { clock, updates, start, resolveTo } = setup({ addresses: 'first' });
    resolveTo(v4('10.0.0.1'), v4('10.0.0.2'));
    const discovery = start();
    await clock.advance(0);
    expect(updates[0]?.specs).toHaveLength(1);
    expect(updates[0]?.specs[0]?.additionalAddresses).toEqual([{ kind: 'ip', ip: '10.0.0.2', port: 80 }]);
    discovery.close();
  });
});
