import { describe, expect, it } from '@jest/globals';
import { podRules } from './pod-rules.ts';
import { isInForce, parseSaved, removalInput, restoreInput } from './restore.ts';

const plain = { bypassInbound: false, virtualInterfaces: [] };
const nothing = parseSaved('');
const find = (rules: ReturnType<typeof podRules>, table: string, hook: string): readonly string[] =>
  rules.find((r) => r.table === table && r.hook === hook)?.rules ?? [];

/** What `iptables-save` prints after the rules went in. */
function savedForm(input: string): string {
  return input.replaceAll(/^-F .*\n/gm, '');
}

describe('rules of a pod', () => {
  it('are exactly the compatible ones for IPv4', () => {
    expect(podRules(4, plain)).toEqual([
      {
        table: 'mangle',
        hook: 'PREROUTING',
        chain: 'ISTIO_PRERT',
        rules: ['-m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff'],
      },
      {
        table: 'mangle',
        hook: 'OUTPUT',
        chain: 'ISTIO_OUTPUT',
        rules: [
          '-m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff',
        ],
      },
      {
        table: 'nat',
        hook: 'PREROUTING',
        chain: 'ISTIO_PRERT',
        rules: [
          '-s 169.254.7.127/32 -p tcp -m tcp -j ACCEPT',
          '! -d 127.0.0.1/32 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006',
        ],
      },
      {
        table: 'nat',
        hook: 'OUTPUT',
        chain: 'ISTIO_OUTPUT',
        rules: [
          '-d 169.254.7.127/32 -p tcp -m tcp -j ACCEPT',
          '-p tcp -m mark --mark 0x111/0xfff -j ACCEPT',
          '! -d 127.0.0.1/32 -o lo -j ACCEPT',
          '! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001',
        ],
      },
    ]);
  });

  it('use the loopback and probe addresses of IPv6', () => {
    const text = podRules(6, plain)
      .flatMap((r) => r.rules)
      .join('\n');
    expect(text).toContain('! -d ::1/128');
    expect(text).toContain('-s fd16:9254:7127:1337:ffff:ffff:ffff:ffff/128');
    expect(text).not.toContain('127.0.0.1');
  });

  it('leave inbound traffic alone when the pod asks for that, and nothing else', () => {
    const rules = podRules(4, { ...plain, bypassInbound: true });
    expect(find(rules, 'nat', 'PREROUTING')).toEqual([]);
    expect(find(rules, 'nat', 'OUTPUT')).toEqual(find(podRules(4, plain), 'nat', 'OUTPUT'));
    expect(find(rules, 'mangle', 'PREROUTING')).toHaveLength(1);
  });

  it('redirect what comes through a virtual interface as if the pod sent it', () => {
    const rules = podRules(4, { ...plain, virtualInterfaces: ['net1'] });
    expect(find(rules, 'nat', 'PREROUTING').slice(0, 2)).toEqual([
      '-i net1 -p tcp -j REDIRECT --to-ports 15001',
      '-i net1 -p tcp -j RETURN',
    ]);
  });
});

describe('a restore', () => {
  const wanted = podRules(4, plain);

  it('replaces each table in one transaction, with one jump to each chain', () => {
    const input = restoreInput(wanted, nothing);
    expect(input.match(/^COMMIT$/gm)).toHaveLength(2);
    expect(input).toContain(
      '*mangle\n:ISTIO_PRERT - [0:0]\n:ISTIO_OUTPUT - [0:0]\n-A PREROUTING -j ISTIO_PRERT\n',
    );
    expect(isInForce(wanted, parseSaved(savedForm(input)))).toBe(true);
  });

  it('takes out jumps that are there already', () => {
    const twice = parseSaved(
      savedForm(`${restoreInput(wanted, nothing)}*nat\n-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT\n`),
    );
    expect(isInForce(wanted, twice)).toBe(false);
    expect(restoreInput(wanted, twice).match(/^-D OUTPUT -j ISTIO_OUTPUT$/gm)).toHaveLength(3);
  });

  it.each([
    [
      'a rule is missing',
      (s: string) => s.replace('-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT\n', ''),
    ],
    ['a rule is changed', (s: string) => s.replace('15006', '15007')],
    [
      'two rules are swapped',
      (s: string) => s.replace(/(-A ISTIO_OUTPUT -d [^\n]*\n)(-A ISTIO_OUTPUT [^\n]*\n)/, '$2$1'),
    ],
    ['a jump is missing', (s: string) => s.replace('-A PREROUTING -j ISTIO_PRERT\n', '')],
  ])('is needed when %s', (_what, damage) => {
    const good = savedForm(restoreInput(wanted, nothing));
    expect(damage(good)).not.toBe(good);
    expect(isInForce(wanted, parseSaved(damage(good)))).toBe(false);
  });

  it('is not needed for the other spelling of the same rules', () => {
    const saved = savedForm(restoreInput(wanted, nothing)).replaceAll(
      '-p tcp -m tcp -j ACCEPT',
      '-p tcp -j ACCEPT',
    );
    expect(isInForce(wanted, parseSaved(saved))).toBe(true);
  });
});

describe('a removal', () => {
  it('removes our chains and their jumps, and no one else’s rules', () => {
    const saved = parseSaved(
      `${restoreInput(podRules(4, plain), nothing)}*nat\n-A OUTPUT -p udp -j ACCEPT\nCOMMIT\n`,
    );
    const input = removalInput(podRules(4, plain), saved);
    expect(input.match(/^-X ISTIO_/gm)).toHaveLength(4);
    expect(input).not.toContain('udp');
  });

  it('does nothing where there is nothing', () => {
    expect(removalInput(podRules(4, plain), nothing)).toBe('');
  });
});
