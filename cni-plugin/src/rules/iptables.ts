import { existsSync, readFileSync } from 'node:fs';
import { INPOD_ROUTE_TABLE, INPOD_RULE_PREFERENCE, MARK_MASK, ZTUNNEL_CONNMARK } from '@weft/api';
import type { CommandRunner } from './command.ts';
import { podRules, type ChainRules, type IpVersion, type PodRuleOptions } from './pod-rules.ts';
import { isInForce, parseSaved, removalInput, restoreInput } from './restore.ts';

const fwmark = `0x${ZTUNNEL_CONNMARK.toString(16)}/0x${MARK_MASK.toString(16)}`;

/** Names of the iptables programs to use: `iptables`, `iptables-nft` or `iptables-legacy`. */
export type IptablesVariant = 'iptables' | 'iptables-nft' | 'iptables-legacy';

export function program(
  variant: IptablesVariant,
  version: IpVersion,
  suffix: '' | '-save' | '-restore' = '',
): string {
  return `${version === 4 ? variant : variant.replace('iptables', 'ip6tables')}${suffix}`;
}

/** The variant that holds rules already, so that ours are seen beside theirs; otherwise the system's default. */
export function detectVariant(runner: CommandRunner): IptablesVariant {
  let best: IptablesVariant = 'iptables';
  let most = 0;
  for (const variant of ['iptables-nft', 'iptables-legacy'] as const) {
    const count = countRules(runner, variant);
    if (count > most) [best, most] = [variant, count];
  }
  return best;
}

function countRules(runner: CommandRunner, variant: IptablesVariant): number {
  try {
    const { status, stdout } = runner.tryRun(program(variant, 4, '-save'), []);
    return status === 0 ? stdout.split('\n').filter((line) => line.startsWith('-A ')).length : 0;
  } catch {
    return 0; // not installed
  }
}

export function ipv6Available(): boolean {
  return (
    existsSync('/proc/sys/net/ipv6/conf/all/disable_ipv6') &&
    readFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'utf8').trim() !== '1'
  );
}

/** Which chains there are does not depend on a pod's options, only their rules do. */
const NO_OPTIONS: PodRuleOptions = { bypassInbound: false, virtualInterfaces: [] };

/** Redirection of one pod through its namespace's runner. Applying twice is the same as once. */
export class PodRedirection {
  private readonly runner: CommandRunner;
  private readonly variant: IptablesVariant;
  private readonly versions: readonly IpVersion[];

  constructor(runner: CommandRunner, variant: IptablesVariant, versions: readonly IpVersion[]) {
    this.runner = runner;
    this.variant = variant;
    this.versions = versions;
  }

  apply(options: PodRuleOptions): void {
    for (const version of this.versions) {
      this.addRoutes(version);
      const wanted = podRules(version, options);
      const saved = this.saved(version);
      if (isInForce(wanted, saved)) continue;
      this.restore(version, restoreInput(wanted, saved));
    }
  }

  inForce(options: PodRuleOptions): boolean {
    return this.versions.every((version) => isInForce(podRules(version, options), this.saved(version)));
  }

  /**
   * New connections go their own way again; those through ztunnel live on. The mangle rules must stay for them: with
   * the last rule that uses connection tracking the kernel stops tracking, and what was redirected is cut off without
   * a word, so that not even ztunnel's resets would arrive.
   */
  stopRedirecting(): void {
    for (const version of this.versions) {
      const nat = podRules(version, NO_OPTIONS).filter(({ table }) => table === 'nat');
      this.removeChains(version, nat);
    }
  }

  /** Takes everything away. Connections through ztunnel must have ended. */
  remove(): void {
    for (const version of this.versions) {
      this.removeChains(version, podRules(version, NO_OPTIONS));
      const family = `-${version}`;
      // Removing what isn't there is how it should be.
      this.runner.tryRun('ip', [family, 'rule', 'del', 'pref', String(INPOD_RULE_PREFERENCE)]);
      this.runner.tryRun('ip', [family, 'route', 'flush', 'table', String(INPOD_ROUTE_TABLE)]);
    }
  }

  private removeChains(version: IpVersion, chains: readonly ChainRules[]): void {
    const input = removalInput(chains, this.saved(version));
    if (input !== '') this.restore(version, input);
  }

  private saved(version: IpVersion): ReturnType<typeof parseSaved> {
    return parseSaved(this.runner.run(program(this.variant, version, '-save'), []));
  }

  private restore(version: IpVersion, input: string): void {
    this.runner.run(program(this.variant, version, '-restore'), ['--noflush'], input);
  }

  /** Replies with the connection mark are delivered here, to ztunnel's socket, whatever their destination. */
  private addRoutes(version: IpVersion): void {
    const family = `-${version}`;
    const table = String(INPOD_ROUTE_TABLE);
    const everything = version === 4 ? '0.0.0.0/0' : '::/0';
    this.runner.run('ip', [family, 'route', 'replace', 'local', everything, 'dev', 'lo', 'table', table]);
    const rules = this.runner.run('ip', [family, 'rule', 'show', 'pref', String(INPOD_RULE_PREFERENCE)]);
    if (rules.includes(fwmark)) return;
    const preference = String(INPOD_RULE_PREFERENCE);
    this.runner.run('ip', [family, 'rule', 'add', 'pref', preference, 'fwmark', fwmark, 'lookup', table]);
  }
}
