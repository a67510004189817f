import type { CommandRunner } from './command.ts';
import {
  canonicalNft,
  deletionInput,
  nftTableNames,
  nftTables,
  nftTableDifferences,
  replacementInput,
  tableText,
  type NftTable,
} from './nft-form.ts';
import { everyPodChain, guardrails, podRules, type PodRuleOptions } from './pod-rules.ts';
import type { PodNetfilter } from './pod-redirection.ts';
import type { RuleSettings } from './rule.ts';

/** One pod's rules by native nftables. Every change is one transaction of the kernel. */
export class NftPodRules implements PodNetfilter {
  private readonly runner: CommandRunner;
  private readonly settings: RuleSettings;

  constructor(runner: CommandRunner, settings: RuleSettings) {
    this.runner = runner;
    this.settings = settings;
  }

  differences(options: PodRuleOptions): readonly string[] {
    return [...this.compare(nftTables(podRules(options), this.settings)).values()].flat();
  }

  apply(options: PodRuleOptions): void {
    const wanted = nftTables(podRules(options), this.settings);
    const differing = [...this.compare(wanted).keys()];
    if (differing.length === 0) return;
    const stale = differing.filter((name) => !wanted.some((table) => table.name === name));
    this.load(replacementInput(wanted) + deletionInput(stale));
  }

  guard(): void {
    this.load(replacementInput(nftTables(guardrails, this.settings)));
  }

  /**
   * The nat table stays, emptied: with its last chain the kernel would stop translating, and what was redirected would
   * be cut off without a word. The mangle table keeps connection tracking going.
   */
  stopRedirecting(): void {
    const name = nftTableNames.nat;
    const table = nftTables(everyPodChain, this.settings).find((t) => t.name === name);
    if (table === undefined || !this.listed().has(name)) return;
    this.load(table.chains.map((chain) => `flush chain inet ${name} ${chain.name}\n`).join(''));
  }

  isPresent(): boolean {
    return this.listed().size > 0;
  }

  remove(): void {
    const listed = this.listed();
    if (listed.size > 0) this.load(deletionInput([...listed.keys()]));
  }

  /** By table, what is otherwise than wanted, in words; tables that are as wanted are not in it. */
  private compare(wanted: readonly NftTable[]): ReadonlyMap<string, readonly string[]> {
    const listed = this.listed();
    const names = new Set([...wanted.map(({ name }) => name), ...listed.keys()]);
    const compared = [...names].map((name): readonly [string, readonly string[]] => {
      const table = wanted.find((t) => t.name === name);
      return [name, nftTableDifferences(name, table && canonicalNft(tableText(table)), listed.get(name))];
    });
    return new Map(compared.filter(([, differences]) => differences.length > 0));
  }

  /** Our tables as the kernel has them. */
  private listed(): ReadonlyMap<string, string> {
    const names = this.runner.run('nft', ['list', 'tables', 'inet']);
    const tables = new Map<string, string>();
    for (const name of Object.values(nftTableNames)) {
      if (!names.split('\n').some((line) => line.trim() === `table inet ${name}`)) continue;
      const text = this.runner.run('nft', ['--numeric-priority', 'list', 'table', 'inet', name]);
      tables.set(name, canonicalNft(text));
    }
    return tables;
  }

  private load(input: string): void {
    this.runner.run('nft', ['-f', '-'], input);
  }
}
