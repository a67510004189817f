import type { CommandRunner } from './command.ts';
import { PROBE_SETS, versionOf, type HostProbeRules, type ProbedAddress } from './host-rules.ts';
import { canonicalNft, deletionInput, nftTableNames } from './nft-form.ts';
import type { IpVersion, RuleSettings } from './rule.ts';

const TABLE = nftTableNames.nat;
const CHAIN = 'istio-postrouting';

/** With native nftables, which can't ask whether a packet has a socket; so the kubelet is known by its user. */
export class NftHostRules implements HostProbeRules {
  private readonly runner: CommandRunner;
  private readonly settings: RuleSettings;
  private readonly kubeletUid: number;

  constructor(runner: CommandRunner, settings: RuleSettings, kubeletUid: number) {
    this.runner = runner;
    this.settings = settings;
    this.kubeletUid = kubeletUid;
  }

  install(): 'in-force' | 'written' {
    const wanted = hostChains(this.settings, this.kubeletUid);
    const { stdout } = this.runner.tryRun('nft', ['--numeric-priority', 'list', 'table', 'inet', TABLE]);
    if (canonicalNft(stdout).includes(canonicalNft(wanted)) && this.hasSets(stdout)) return 'in-force';
    const sets = this.settings.versions.map(
      (version) => `\tset ${PROBE_SETS[version]} {\n\t\ttype ipv${version}_addr\n\t}\n`,
    );
    const flush = [
      `table inet ${TABLE} {\n\tchain ${CHAIN} {\n\t}\n\tchain postrouting {\n\t\ttype nat hook postrouting priority 100; policy accept;\n\t}\n}\n`,
      `flush chain inet ${TABLE} ${CHAIN}\n`,
      `flush chain inet ${TABLE} postrouting\n`,
    ];
    this.load(`${flush.join('')}table inet ${TABLE} {\n${sets.join('')}${wanted}}\n`);
    return 'written';
  }

  remove(): void {
    this.load(deletionInput([TABLE]));
  }

  addPod(uid: string, addresses: readonly string[]): void {
    for (const address of this.served(addresses)) {
      const set = `inet ${TABLE} ${PROBE_SETS[versionOf(address)]}`;
      // Adding first lets the deletion succeed; all three are one transaction.
      this.load(
        `add element ${set} { ${address} }\ndelete element ${set} { ${address} }\nadd element ${set} { ${address} comment "${uid}" }\n`,
      );
    }
  }

  removePod(uid: string, addresses: readonly string[]): void {
    for (const address of this.served(addresses)) {
      if (this.members(versionOf(address)).some((m) => m.address === address && m.uid === uid))
        this.deleteAddress(address);
    }
  }

  retain(addresses: readonly string[]): void {
    for (const version of this.settings.versions) {
      for (const { address } of this.members(version)) {
        if (!addresses.includes(address)) this.deleteAddress(address);
      }
    }
  }

  members(version: IpVersion): readonly ProbedAddress[] {
    const { stdout } = this.runner.tryRun('nft', ['list', 'set', 'inet', TABLE, PROBE_SETS[version]]);
    return [...stdout.matchAll(/([0-9a-f.:]+) comment "([^"]*)"/g)].map(([, address = '', uid = '']) => ({
      address,
      uid,
    }));
  }

  private hasSets(listed: string): boolean {
    return this.settings.versions.every((version) => listed.includes(`set ${PROBE_SETS[version]} {`));
  }

  private deleteAddress(address: string): void {
    this.load(`delete element inet ${TABLE} ${PROBE_SETS[versionOf(address)]} { ${address} }\n`);
  }

  private served(addresses: readonly string[]): readonly string[] {
    return addresses.filter((address) => this.settings.versions.includes(versionOf(address)));
  }

  private load(input: string): void {
    this.runner.run('nft', ['-f', '-'], input);
  }
}

/** The chains as `nft list` prints them, without the sets. */
export function hostChains({ versions, probeSources }: RuleSettings, kubeletUid: number): string {
  const rules = versions.map((version) => {
    const family = version === 4 ? 'ip' : 'ip6';
    return `\t\tmeta skuid ${kubeletUid} meta l4proto tcp ${family} daddr @${PROBE_SETS[version]} snat ${family} to ${probeSources[version]}\n`;
  });
  return [
    `\tchain ${CHAIN} {\n${rules.join('')}\t}\n`,
    `\tchain postrouting {\n\t\ttype nat hook postrouting priority 100; policy accept;\n\t\tjump ${CHAIN}\n\t}\n`,
  ].join('');
}
