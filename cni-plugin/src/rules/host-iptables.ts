import type { CommandRunner } from './command.ts';
import { PROBE_SETS, versionOf, type HostProbeRules, type ProbedAddress } from './host-rules.ts';
import { program, type IptablesVariant } from './iptables.ts';
import type { IpVersion, RuleSettings } from './rule.ts';

const CHAIN = 'ISTIO_POSTRT';

/** With ipset and iptables. What a process of the node sends has a socket there; what is forwarded has none. */
export class IptablesHostRules implements HostProbeRules {
  private readonly runner: CommandRunner;
  private readonly variant: IptablesVariant;
  private readonly settings: RuleSettings;

  constructor(runner: CommandRunner, variant: IptablesVariant, settings: RuleSettings) {
    this.runner = runner;
    this.variant = variant;
    this.settings = settings;
  }

  install(): 'in-force' | 'written' {
    let result: 'in-force' | 'written' = 'in-force';
    for (const version of this.settings.versions) {
      const family = version === 4 ? 'inet' : 'inet6';
      const set = PROBE_SETS[version];
      this.runner.run('ipset', ['create', set, 'hash:ip', 'family', family, 'comment', '-exist']);
      const iptables = program(this.variant, version);
      const rule = hostProbeRule(version, this.settings);
      const isThere = (of: string): boolean =>
        this.runner.tryRun(iptables, ['-t', 'nat', '-C', ...of.split(' ')]).status === 0;
      if (isThere(`POSTROUTING -j ${CHAIN}`) && isThere(rule)) continue;
      this.removeChain(iptables);
      const input = `*nat\n:${CHAIN} - [0:0]\n-I POSTROUTING 1 -j ${CHAIN}\n-A ${rule}\nCOMMIT\n`;
      this.runner.run(program(this.variant, version, '-restore'), ['--noflush'], input);
      result = 'written';
    }
    return result;
  }

  remove(): void {
    for (const version of this.settings.versions) {
      this.removeChain(program(this.variant, version));
      this.runner.tryRun('ipset', ['destroy', PROBE_SETS[version]]);
    }
  }

  addPod(uid: string, addresses: readonly string[]): void {
    for (const [address, set] of this.setsOf(addresses)) {
      this.runner.tryRun('ipset', ['del', set, address]);
      this.runner.run('ipset', ['add', set, address, 'comment', uid, '-exist']);
    }
  }

  removePod(uid: string, addresses: readonly string[]): void {
    for (const [address, set, version] of this.setsOf(addresses)) {
      if (this.members(version).some((m) => m.address === address && m.uid === uid))
        this.runner.run('ipset', ['del', set, address, '-exist']);
    }
  }

  retain(addresses: readonly string[]): void {
    for (const version of this.settings.versions) {
      for (const { address } of this.members(version)) {
        if (!addresses.includes(address))
          this.runner.run('ipset', ['del', PROBE_SETS[version], address, '-exist']);
      }
    }
  }

  members(version: IpVersion): readonly ProbedAddress[] {
    const { stdout } = this.runner.tryRun('ipset', ['list', PROBE_SETS[version]]);
    return [...stdout.matchAll(/^(\S+) comment "(.*)"$/gm)].map(([, address = '', uid = '']) => ({
      address,
      uid,
    }));
  }

  private setsOf(addresses: readonly string[]): readonly (readonly [string, string, IpVersion])[] {
    return addresses
      .map((address) => [address, PROBE_SETS[versionOf(address)], versionOf(address)] as const)
      .filter(([, , version]) => this.settings.versions.includes(version));
  }

  private removeChain(iptables: string): void {
    while (this.runner.tryRun(iptables, ['-t', 'nat', '-D', 'POSTROUTING', '-j', CHAIN]).status === 0);
    this.runner.tryRun(iptables, ['-t', 'nat', '-F', CHAIN]);
    this.runner.tryRun(iptables, ['-t', 'nat', '-X', CHAIN]);
  }
}

/** As `iptables-save` prints it. */
export function hostProbeRule(version: IpVersion, { probeSources }: RuleSettings): string {
  const set = PROBE_SETS[version];
  return `${CHAIN} -m owner --socket-exists -p tcp -m set --match-set ${set} dst -j SNAT --to-source ${probeSources[version]}`;
}
