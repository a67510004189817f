import { MARK_MASK } from '@weft/api';
import { ruleDifferences } from './rule-differences.ts';
import {
  addressOf,
  type Action,
  type Hook,
  type HookRules,
  type Match,
  type RuleSettings,
  type Rule,
  type Table,
} from './rule.ts';

/** Tables of ours are of the family `inet`: one rule serves both versions unless it names an address. */
export const nftTableNames: Readonly<Record<Table, string>> = {
  raw: 'istio-ambient-raw',
  mangle: 'istio-ambient-mangle',
  nat: 'istio-ambient-nat',
  filter: 'istio-ambient-guardrails',
};

const priorities: Readonly<Record<Table, number>> = { raw: -300, mangle: -150, nat: -100, filter: 0 };

/** One table with its chains, as `nft --numeric-priority list table` prints it. */
export interface NftTable {
  readonly name: string;
  readonly chains: readonly NftChain[];
}

export interface NftChain {
  readonly name: string;
  /** Lines of the chain: its hook, if it has one, and its rules. */
  readonly lines: readonly string[];
}

/** Writes rules as `nft list` does, so that wanted and actual can be compared as text. */
export function nftTables(hooks: readonly HookRules[], settings: RuleSettings): readonly NftTable[] {
  return [...new Set(hooks.map(({ table }) => table))].map((table) => ({
    name: nftTableNames[table],
    chains: hooks
      .filter((h) => h.table === table)
      .flatMap(({ hook, rules }): readonly NftChain[] => {
        const name = hook.toLowerCase();
        return [
          { name: `istio-${name}`, lines: rules.flatMap((rule) => ruleTexts(rule, settings)) },
          { name, lines: [hookText(table, hook), `jump istio-${name}`] },
        ];
      }),
  }));
}

/** Replaces the tables in one transaction: adding a table first lets its deletion succeed in any case. */
export function replacementInput(tables: readonly NftTable[]): string {
  return tables.map((table) => `${deletionInput([table.name])}${tableText(table)}`).join('');
}

export function deletionInput(names: readonly string[]): string {
  return names.map((name) => `table inet ${name}\ndelete table inet ${name}\n`).join('');
}

export function tableText({ name, chains }: NftTable): string {
  const body = chains.map((c) => `\tchain ${c.name} {\n${c.lines.map((l) => `\t\t${l}\n`).join('')}\t}\n`);
  return `table inet ${name} {\n${body.join('\n')}}\n`;
}

/** What is otherwise than wanted in a table, in words. Both texts are canonical; undefined stands for no table. */
export function nftTableDifferences(
  name: string,
  wanted: string | undefined,
  actual: string | undefined,
): readonly string[] {
  if (wanted === actual) return [];
  if (actual === undefined) return [`table ${name} is missing`];
  if (wanted === undefined) return [`table ${name} should not be there`];
  return ruleDifferences(`table ${name}`, linesWithChain(wanted), linesWithChain(actual));
}

function linesWithChain(canonical: string): readonly string[] {
  let block = '';
  return canonical.split('\n').map((line) => {
    const opened = /^(.*) \{$/.exec(line)?.[1];
    block = opened ?? block;
    return opened === undefined ? `${block}: ${line}` : line;
  });
}

/** Versions of `nft` pad and bracket differently. */
export function canonicalNft(text: string): string {
  return text
    .replaceAll(/0x0*([0-9a-f])/g, '0x$1')
    .replaceAll(/[()]/g, '')
    .replaceAll(/[\t ]+/g, ' ')
    .replaceAll(/ ?\n ?/g, '\n')
    .replaceAll(/\n+/g, '\n')
    .trim();
}

/** Routing is done again for what the mangle table marks on its way out; that is the type `route`. */
function hookText(table: Table, hook: Hook): string {
  const type = table === 'nat' ? 'nat' : table === 'mangle' && hook === 'OUTPUT' ? 'route' : 'filter';
  return `type ${type} hook ${hook.toLowerCase()} priority ${priorities[table]}; policy accept;`;
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
const masked = (mark: number, not: boolean): string =>
  `& ${hex(MARK_MASK)} ${not ? '!=' : '=='} ${hex(mark)}`;

/** A rule that names an address is written once for each version. */
function ruleTexts({ matches, action }: Rule, settings: RuleSettings): readonly string[] {
  const namesAddress = matches.some(({ kind }) => kind === 'source' || kind === 'destination');
  // A condition on a port says the protocol, and nft does not print it twice.
  const namesPort = matches.some(({ kind }) => kind === 'port');
  const needed = matches.filter(({ kind }) => !(kind === 'protocol' && namesPort));
  const versions = namesAddress ? settings.versions : ([4] as const);
  return versions.map((version) => {
    const address = (name: 'loopback' | 'probe'): string => addressOf(name, version, settings.probeSources);
    const family = version === 4 ? 'ip' : 'ip6';
    return [...needed.map((m) => matchText(m, family, address)), actionText(action)].join(' ');
  });
}

function matchText(
  match: Match,
  family: 'ip' | 'ip6',
  address: (name: 'loopback' | 'probe') => string,
): string {
  const not = 'not' in match && match.not === true;
  const unless = not ? '!= ' : '';
  switch (match.kind) {
    case 'source':
      return `${family} saddr ${address(match.address)}`;
    case 'destination':
      return `${family} daddr ${unless}${address(match.address)}`;
    case 'in':
      return `iifname "${match.interface}"`;
    case 'out':
      return `oifname ${unless}"${match.interface}"`;
    case 'protocol':
      return `meta l4proto ${match.protocol}`;
    case 'port':
      return `${match.protocol} ${match.side === 'source' ? 'sport' : 'dport'} ${unless}${match.port}`;
    case 'mark':
      return `meta mark ${masked(match.mark, not)}`;
    case 'connmark':
      return `ct mark ${masked(match.mark, false)}`;
  }
}

function actionText(action: Action): string {
  switch (action.kind) {
    case 'accept':
    case 'drop':
    case 'return':
      return action.kind;
    case 'redirect':
      return `redirect to :${action.port}`;
    case 'set-connmark': {
      // The kernel keeps of the connection's mark what is not in the mask, and what is set anyway.
      const kept = (~MARK_MASK | action.mark) >>> 0;
      return `ct mark set ct mark & ${hex(kept)} | ${hex(action.mark)}`;
    }
    case 'restore-mark':
      return 'meta mark set ct mark';
    case 'conntrack-zone':
      return `ct zone set ${action.zone}`;
  }
}
