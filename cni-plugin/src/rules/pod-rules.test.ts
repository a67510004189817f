import { HOST_PROBE_SNAT_IPV4, HOST_PROBE_SNAT_IPV6 } from '@weft/api';
import { describe, expect, it } from '@jest/globals';
import { hostProbeRule } from './host-iptables.ts';
import { hostChains } from './host-nftables.ts';
import { iptablesChains } from './iptables-form.ts';
import { canonicalNft, nftTables, tableText } from './nft-form.ts';
import { guardrails, podRules, type PodRuleOptions } from './pod-rules.ts';
import { restoreInput } from './restore.ts';

const probeSources = { 4: HOST_PROBE_SNAT_IPV4, 6: HOST_PROBE_SNAT_IPV6 };
const plain: PodRuleOptions = { bypassInbound: false, dnsCapture: false, virtualInterfaces: [] };
const full: PodRuleOptions = { ...plain, dnsCapture: true, virtualInterfaces: ['net1'] };
const saveForm = (version: 4 | 6, options: PodRuleOptions): string =>
  restoreInput(iptablesChains(podRules(options), version, probeSources), [], new Map());
const nftForm = (versions: readonly (4 | 6)[], options: PodRuleOptions): string =>
  nftTables(podRules(options), { versions, probeSources }).map(tableText).join('');
const lines = (text: string, table: string, chain: string): readonly string[] =>
  (new RegExp(`\\*${table}\n([^*]*)`).exec(text)?.[1] ?? '')
    .split('\n')
    .filter((line) => line.startsWith(`-A ${chain} `));

describe('rules of a pod for iptables', () => {
  it('are exactly the compatible ones', () => {
    expect(saveForm(4, plain)).toBe(`*mangle
:ISTIO_PRERT - [0:0]
:ISTIO_OUTPUT - [0:0]
-I PREROUTING 1 -j ISTIO_PRERT
-I OUTPUT 1 -j ISTIO_OUTPUT
-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff
-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff
COMMIT
*nat
:ISTIO_PRERT - [0:0]
:ISTIO_OUTPUT - [0:0]
-I PREROUTING 1 -j ISTIO_PRERT
-I OUTPUT 1 -j ISTIO_OUTPUT
-A ISTIO_PRERT -s 169.254.7.127/32 -p tcp -j ACCEPT
-A ISTIO_PRERT ! -d 127.0.0.1/32 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006
-A ISTIO_OUTPUT -d 169.254.7.127/32 -p tcp -j ACCEPT
-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -j ACCEPT
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001
COMMIT
`);
  });

  it('have DNS and virtual interfaces where these are asked for, and the addresses of IPv6', () => {
    expect(saveForm(6, full)).toBe(`*raw
:ISTIO_PRERT - [0:0]
:ISTIO_OUTPUT - [0:0]
-I PREROUTING 1 -j ISTIO_PRERT
-I OUTPUT 1 -j ISTIO_OUTPUT
-A ISTIO_PRERT -p udp -m mark ! --mark 0x539/0xfff -m udp --sport 53 -j CT --zone 1
-A ISTIO_OUTPUT -p udp -m mark --mark 0x539/0xfff -m udp --dport 53 -j CT --zone 1
COMMIT
*mangle
:ISTIO_PRERT - [0:0]
:ISTIO_OUTPUT - [0:0]
-I PREROUTING 1 -j ISTIO_PRERT
-I OUTPUT 1 -j ISTIO_OUTPUT
-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff
-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff
COMMIT
*nat
:ISTIO_PRERT - [0:0]
:ISTIO_OUTPUT - [0:0]
-I PREROUTING 1 -j ISTIO_PRERT
-I OUTPUT 1 -j ISTIO_OUTPUT
-A ISTIO_PRERT -i net1 -p tcp -j REDIRECT --to-ports 15001
-A ISTIO_PRERT -i net1 -p tcp -j RETURN
-A ISTIO_PRERT -s fd16:9254:7127:1337:ffff:ffff:ffff:ffff/128 -p tcp -j ACCEPT
-A ISTIO_PRERT ! -d ::1/128 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006
-A ISTIO_OUTPUT -d fd16:9254:7127:1337:ffff:ffff:ffff:ffff/128 -p tcp -j ACCEPT
-A ISTIO_OUTPUT ! -o lo -p udp -m mark ! --mark 0x539/0xfff -m udp --dport 53 -j REDIRECT --to-ports 15053
-A ISTIO_OUTPUT ! -d ::1/128 -p tcp -m tcp --dport 53 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15053
-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT
-A ISTIO_OUTPUT ! -d ::1/128 -o lo -j ACCEPT
-A ISTIO_OUTPUT ! -d ::1/128 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001
COMMIT
`);
  });

  it('leave inbound traffic alone when the pod asks for that, and nothing else', () => {
    const bypass = saveForm(4, { ...full, bypassInbound: true });
    const all = saveForm(4, full);
    expect(lines(bypass, 'nat', 'ISTIO_PRERT')).toEqual([
      '-A ISTIO_PRERT -i net1 -p tcp -j REDIRECT --to-ports 15001',
      '-A ISTIO_PRERT -i net1 -p tcp -j RETURN',
    ]);
    for (const table of ['raw', 'mangle'])
      expect(lines(bypass, table, 'ISTIO_PRERT')).toEqual(lines(all, table, 'ISTIO_PRERT'));
    expect(lines(bypass, 'nat', 'ISTIO_OUTPUT')).toEqual(lines(all, 'nat', 'ISTIO_OUTPUT'));
  });

  it('take the probes’ source address from the settings', () => {
    const chains = iptablesChains(podRules(plain), 4, { ...probeSources, 4: '169.254.9.9' });
    expect(chains.flatMap((c) => c.rules).filter((rule) => rule.includes('169.254.9.9/32'))).toHaveLength(2);
  });
});

describe('rules of a pod for nftables', () => {
  it('are the same ones in the same order', () => {
    expect(nftForm([4, 6], full)).toBe(`table inet istio-ambient-raw {
	chain istio-prerouting {
		meta mark & 0x00000fff != 0x00000539 udp sport 53 ct zone set 1
	}

	chain prerouting {
		type filter hook prerouting priority -300; policy accept;
		jump istio-prerouting
	}

	chain istio-output {
		meta mark & 0x00000fff == 0x00000539 udp dport 53 ct zone set 1
	}

	chain output {
		type filter hook output priority -300; policy accept;
		jump istio-output
	}
}
table inet istio-ambient-mangle {
	chain istio-prerouting {
		meta mark & 0x00000fff == 0x00000539 ct mark set ct mark & 0xfffff111 | 0x00000111
	}

	chain prerouting {
		type filter hook prerouting priority -150; policy accept;
		jump istio-prerouting
	}

	chain istio-output {
		ct mark & 0x00000fff == 0x00000111 meta mark set ct mark
	}

	chain output {
		type route hook output priority -150; policy accept;
		jump istio-output
	}
}
table inet istio-ambient-nat {
	chain istio-prerouting {
		iifname "net1" meta l4proto tcp redirect to :15001
		iifname "net1" meta l4proto tcp return
		ip saddr 169.254.7.127 meta l4proto tcp accept
		ip6 saddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff meta l4proto tcp accept
		ip daddr != 127.0.0.1 tcp dport != 15008 meta mark & 0x00000fff != 0x00000539 redirect to :15006
		ip6 daddr != ::1 tcp dport != 15008 meta mark & 0x00000fff != 0x00000539 redirect to :15006
	}

	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		jump istio-prerouting
	}

	chain istio-output {
		ip daddr 169.254.7.127 meta l4proto tcp accept
		ip6 daddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff meta l4proto tcp accept
		oifname != "lo" meta mark & 0x00000fff != 0x00000539 udp dport 53 redirect to :15053
		ip daddr != 127.0.0.1 tcp dport 53 meta mark & 0x00000fff != 0x00000539 redirect to :15053
		ip6 daddr != ::1 tcp dport 53 meta mark & 0x00000fff != 0x00000539 redirect to :15053
		meta l4proto tcp meta mark & 0x00000fff == 0x00000111 accept
		ip daddr != 127.0.0.1 oifname "lo" accept
		ip6 daddr != ::1 oifname "lo" accept
		ip daddr != 127.0.0.1 meta l4proto tcp meta mark & 0x00000fff != 0x00000539 redirect to :15001
		ip6 daddr != ::1 meta l4proto tcp meta mark & 0x00000fff != 0x00000539 redirect to :15001
	}

	chain output {
		type nat hook output priority -100; policy accept;
		jump istio-output
	}
}
`);
  });

  it('name no IPv6 address where the node has none', () => {
    expect(nftForm([4], full)).not.toContain('ip6');
  });

  it('are compared without regard to how a version of nft spells them', () => {
    const old = '\tct mark set ct mark & 0xfffff111 | 0x00000111\n\n}';
    expect(canonicalNft('ct mark set (ct mark & 0xfffff111) | 0x111\n}')).toBe(canonicalNft(old));
    expect(canonicalNft('meta mark & 0x00000fff == 0x00000539')).not.toBe(
      canonicalNft('meta mark & 0xfff == 0x538'),
    );
  });
});

it('guardrails drop everything that is TCP or UDP', () => {
  expect(iptablesChains(guardrails, 4, probeSources)).toEqual(
    ['INPUT', 'FORWARD', 'OUTPUT'].map((hook) => ({
      table: 'filter',
      hook,
      chain: `ISTIO_${hook}`,
      rules: ['-p tcp -j DROP', '-p udp -j DROP'],
    })),
  );
});

it('rules of the node translate what its own processes send to enrolled pods', () => {
  const settings = { versions: [4, 6], probeSources } as const;
  expect([4, 6].map((version) => hostProbeRule(version === 4 ? 4 : 6, settings))).toEqual([
    'ISTIO_POSTRT -m owner --socket-exists -p tcp -m set --match-set istio-inpod-probes-v4 dst -j SNAT --to-source 169.254.7.127',
    'ISTIO_POSTRT -m owner --socket-exists -p tcp -m set --match-set istio-inpod-probes-v6 dst -j SNAT --to-source fd16:9254:7127:1337:ffff:ffff:ffff:ffff',
  ]);
  expect(hostChains(settings, 0)).toBe(`	chain istio-postrouting {
		meta skuid 0 meta l4proto tcp ip daddr @istio-inpod-probes-v4 snat ip to 169.254.7.127
		meta skuid 0 meta l4proto tcp ip6 daddr @istio-inpod-probes-v6 snat ip6 to fd16:9254:7127:1337:ffff:ffff:ffff:ffff
	}
	chain postrouting {
		type nat hook postrouting priority 100; policy accept;
		jump istio-postrouting
	}
`);
});
