import type { CommandRunner } from './command.ts';
import { iptablesChains, type ChainRules } from './iptables-form.ts';
import { everyPodChain, guardrails, podRules, type PodRuleOptions } from './pod-rules.ts';
import {
  differencesFrom,
  parseSaved,
  present,
  removalInput,
  restoreInput,
  type SavedRules,
} from './restore.ts';
import type { HookRules, IpVersion, RuleSettings } from './rule.ts';
import type { PodNetfilter } from './pod-redirection.ts';

/** Names of the iptables programs to use: `iptables`, `iptables-nft` or `iptables-legacy`. */
export type IptablesVariant = 'iptables' | 'iptables-nft' | 'iptables-legacy';

export function program(
  variant: IptablesVariant,
  version: IpVersion,
  suffix: '' | '-save' | '-restore' = '',
): string {
  return `${version === 4 ? variant : variant.replace('iptables', 'ip6tables')}${suffix}`;
}

/** One pod's rules by one iptables variant, through its namespace's runner. */
export class IptablesPodRules implements PodNetfilter {
  private readonly runner: CommandRunner;
  private readonly variant: IptablesVariant;
  private readonly settings: RuleSettings;

  constructor(runner: CommandRunner, variant: IptablesVariant, settings: RuleSettings) {
    this.runner = runner;
    this.variant = variant;
    this.settings = settings;
  }

  differences(options: PodRuleOptions): readonly string[] {
    return this.settings.versions.flatMap((version) =>
      differencesFrom(this.chains(podRules(options), version), this.ours(version), this.saved(version)).map(
        (difference) => `IPv${version} ${difference}`,
      ),
    );
  }

  apply(options: PodRuleOptions): void {
    for (const version of this.settings.versions) {
      const wanted = this.chains(podRules(options), version);
      const saved = this.saved(version);
      if (differencesFrom(wanted, this.ours(version), saved).length > 0)
        this.restore(version, restoreInput(wanted, this.ours(version), saved));
    }
  }

  guard(): void {
    for (const version of this.settings.versions) {
      this.restore(version, restoreInput(this.chains(guardrails, version), [], this.saved(version)));
    }
  }

  /**
   * The mangle rules must stay: with the last rule that uses connection tracking the kernel stops tracking, and what
   * was redirected is cut off without a word, so that not even ztunnel's resets would arrive.
   */
  stopRedirecting(): void {
    this.removeChains((chain) => chain.table === 'nat');
  }

  isPresent(): boolean {
    return this.settings.versions.some(
      (version) => present(this.ours(version), this.saved(version)).length > 0,
    );
  }

  remove(): void {
    this.removeChains(() => true);
  }

  private removeChains(which: (chain: ChainRules) => boolean): void {
    for (const version of this.settings.versions) {
      const input = removalInput(this.ours(version).filter(which), this.saved(version));
      if (input !== '') this.restore(version, input);
    }
  }

  private ours(version: IpVersion): readonly ChainRules[] {
    return this.chains([...everyPodChain, ...guardrails], version);
  }

  private chains(rules: readonly HookRules[], version: IpVersion): readonly ChainRules[] {
    return iptablesChains(rules, version, this.settings.probeSources);
  }

  private saved(version: IpVersion): SavedRules {
    return parseSaved(this.runner.run(program(this.variant, version, '-save'), []));
  }

  private restore(version: IpVersion, input: string): void {
    this.runner.run(program(this.variant, version, '-restore'), ['--noflush'], input);
  }
}
