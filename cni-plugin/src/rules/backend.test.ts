import { describe, expect, it } from '@jest/globals';
import { chooseBackend, type BackendFacts } from './backend.ts';
import { branchRoute, branchRules } from './branch-eni-routes.ts';

const nft = { variant: 'iptables-nft', rules: 0 } as const;
const legacy = { variant: 'iptables-legacy', rules: 0 } as const;
const facts: BackendFacts = { nft: true, iptables: [nft, legacy], hasProbeIpsets: false };
const wishes = { nativeNftables: false, forcedIptables: undefined };

describe('the back end', () => {
  it.each<[string, object, object, string, boolean]>([
    ['is iptables-nft where nobody has rules', {}, {}, 'iptables-nft', false],
    [
      'is the variant that has rules',
      {},
      { iptables: [nft, { ...legacy, rules: 3 }] },
      'iptables-legacy',
      false,
    ],
    ['is what works', {}, { iptables: [legacy] }, 'iptables-legacy', false],
    [
      'is the forced one',
      { forcedIptables: 'iptables-legacy' },
      { iptables: [{ ...nft, rules: 9 }] },
      'iptables-legacy',
      false,
    ],
    ['is nftables where asked for', { nativeNftables: true }, {}, 'nftables', false],
    ['is nftables where there is no iptables', {}, { iptables: [] }, 'nftables', false],
    ['is iptables where nft does not work', { nativeNftables: true }, { nft: false }, 'iptables-nft', true],
    [
      'stays iptables while its sets are in force',
      { nativeNftables: true },
      { hasProbeIpsets: true },
      'iptables-nft',
      true,
    ],
    [
      'is the forced one even so',
      { nativeNftables: true, forcedIptables: 'iptables-nft' },
      {},
      'iptables-nft',
      true,
    ],
  ])('%s', (_what, wish, fact, expected, warns) => {
    const { backend, others, warning } = chooseBackend({ ...wishes, ...wish }, { ...facts, ...fact });
    const name = backend.kind === 'nftables' ? backend.kind : backend.variant;
    expect(name).toBe(expected);
    expect(others).not.toContainEqual(backend);
    expect(warning !== undefined).toBe(warns);
  });

  it('is missing where nothing works', () => {
    expect(() => chooseBackend(wishes, { nft: false, iptables: [], hasProbeIpsets: false })).toThrow(
      expect.objectContaining({ code: 'WEFT1709' }),
    );
  });
});

it('brings probes to a pod on a branch interface and its answers back', () => {
  const route = branchRoute(
    'local 10.0.1.5 dev x table local\n10.0.1.5 dev vlan12ab table 101 scope link \n',
  );
  expect(route).toEqual({ interface: 'vlan12ab', table: '101' });
  expect(branchRoute('10.0.1.5 dev eni12 scope link\n')).toBeUndefined();
  expect(branchRules('10.0.1.5', route ?? { interface: '', table: '' }).map((r) => r.join(' '))).toEqual([
    'to 10.0.1.5 lookup 101 pref 512',
    'iif vlan12ab lookup local pref 511',
  ]);
});
