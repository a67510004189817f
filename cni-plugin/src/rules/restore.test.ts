import { describe, expect, it } from '@jest/globals';
import { HOST_PROBE_SNAT_IPV4, HOST_PROBE_SNAT_IPV6 } from '@weft/api';
import { iptablesChains } from './iptables-form.ts';
import { everyPodChain, guardrails, podRules } from './pod-rules.ts';
import { differencesFrom, parseSaved, removalInput, restoreInput } from './restore.ts';

const chains = (rules: typeof everyPodChain) =>
  iptablesChains(rules, 4, { 4: HOST_PROBE_SNAT_IPV4, 6: HOST_PROBE_SNAT_IPV6 });
const options = { bypassInbound: false, dnsCapture: false, virtualInterfaces: [] };
const wanted = chains(podRules(options));
const ours = chains([...everyPodChain, ...guardrails]);
const nothing = parseSaved('');

/** What `iptables-save` prints after an input for `iptables-restore` went in. */
function savedForm(input: string): string {
  return input
    .replaceAll(/^-I (\S+) 1 /gm, '-A $1 ')
    .replaceAll(/^\*(.*)$/gm, '*$1\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]');
}

describe('a restore', () => {
  it('replaces each table in one transaction, with one jump to each chain, before everything else', () => {
    const input = restoreInput(wanted, ours, nothing);
    expect(input.match(/^COMMIT$/gm)).toHaveLength(2);
    expect(input).toContain(
      '*mangle\n:ISTIO_PRERT - [0:0]\n:ISTIO_OUTPUT - [0:0]\n-I PREROUTING 1 -j ISTIO_PRERT\n',
    );
    expect(differencesFrom(wanted, ours, parseSaved(savedForm(input)))).toEqual([]);
  });

  it('takes out jumps that are there already', () => {
    const once = savedForm(restoreInput(wanted, ours, nothing));
    const twice = parseSaved(once.replace(/(\*nat[^*]*)COMMIT/, '$1-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT'));
    expect(differencesFrom(wanted, ours, twice)).toEqual([
      'nat OUTPUT has "-j ISTIO_OUTPUT" 2 times, not once',
    ]);
    expect(restoreInput(wanted, ours, twice).match(/^-D OUTPUT -j ISTIO_OUTPUT$/gm)).toHaveLength(3);
  });

  it.each([
    [
      'a rule is missing',
      (s: string) => s.replace('-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT\n', ''),
      ['nat ISTIO_OUTPUT lacks "-p tcp -m mark --mark 0x111/0xfff -j ACCEPT"'],
    ],
    [
      'a rule is changed',
      (s: string) => s.replace('--mark 0x111/0xfff -j ACCEPT', '--mark 0x112/0xfff -j ACCEPT'),
      [
        'nat ISTIO_OUTPUT lacks "-p tcp -m mark --mark 0x111/0xfff -j ACCEPT"',
        'nat ISTIO_OUTPUT should not have "-p tcp -m mark --mark 0x112/0xfff -j ACCEPT"',
      ],
    ],
    [
      'two rules are swapped',
      (s: string) => s.replace(/(-A ISTIO_OUTPUT -d [^\n]*\n)(-A ISTIO_OUTPUT [^\n]*\n)/, '$2$1'),
      ['nat ISTIO_OUTPUT has its rules in another order'],
    ],
    [
      'a jump is missing',
      (s: string) => s.replace('-A PREROUTING -j ISTIO_PRERT\n', ''),
      ['mangle PREROUTING has "-j ISTIO_PRERT" 0 times, not once'],
    ],
    [
      'chains are missing',
      (s: string) => s.replaceAll(/^.*ISTIO_OUTPUT.*\n/gm, ''),
      ['mangle ISTIO_OUTPUT is missing', 'nat ISTIO_OUTPUT is missing'],
    ],
    [
      'somebody’s rule comes first',
      (s: string) => s.replace('-A OUTPUT -j', '-A OUTPUT -j ACCEPT\n-A OUTPUT -j'),
      ['mangle OUTPUT has "-j ACCEPT" before "-j ISTIO_OUTPUT"'],
    ],
    [
      'guardrails are up',
      (s: string) => `${s}${savedForm(restoreInput(chains(guardrails), [], nothing))}`,
      chains(guardrails).map(({ chain }) => `filter ${chain} should not be there`),
    ],
    [
      'DNS is captured and should not be',
      (s: string) => `${s}*raw\n:ISTIO_OUTPUT - [0:0]\nCOMMIT\n`,
      ['raw ISTIO_OUTPUT should not be there'],
    ],
  ])('is needed when %s, and says so', (_what, damage, told) => {
    const good = savedForm(restoreInput(wanted, ours, nothing));
    expect(damage(good)).not.toBe(good);
    expect(differencesFrom(wanted, ours, parseSaved(damage(good)))).toEqual(told);
  });

  it('is not needed for the other spelling of the same rules', () => {
    const saved = savedForm(restoreInput(wanted, ours, nothing)).replaceAll(
      '-p tcp -j ACCEPT',
      '-p tcp -m tcp -j ACCEPT',
    );
    expect(differencesFrom(wanted, ours, parseSaved(saved))).toEqual([]);
  });

  it('leaves the rules of others, behind ours', () => {
    const saved = parseSaved('*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p udp -j ACCEPT\nCOMMIT\n');
    expect(restoreInput(wanted, ours, saved)).not.toContain('udp');
  });
});

describe('a removal', () => {
  it('removes our chains and their jumps, and no one else’s rules', () => {
    const saved = parseSaved(
      savedForm(restoreInput(wanted, ours, nothing)).replace(
        /(\*nat[^*]*)COMMIT/,
        '$1-A OUTPUT -p udp -j ACCEPT\nCOMMIT',
      ),
    );
    const input = removalInput(ours, saved);
    expect(input.match(/^-X ISTIO_/gm)).toHaveLength(4);
    expect(input).not.toContain('udp');
  });

  it('does nothing where there is nothing', () => {
    expect(removalInput(ours, nothing)).toBe('');
  });
});
