import type { ChainRules } from './iptables-form.ts';
import { ruleDifferences } from './rule-differences.ts';

/** What `iptables-save` says: the rules of each chain by `table chain`, hooks and chains of others included. */
export type SavedRules = ReadonlyMap<string, readonly string[]>;

const chainKey = ({ table, chain }: ChainRules): string => `${table} ${chain}`;
const hookKey = ({ table, hook }: ChainRules): string => `${table} ${hook}`;
const jumpTo = ({ chain }: ChainRules): string => `-j ${chain}`;

/** Reads `iptables-save` output. */
export function parseSaved(text: string): SavedRules {
  const rules = new Map<string, string[]>();
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim();
    const declared = /^:(\S+)/.exec(line);
    if (declared?.[1] !== undefined) rules.set(`${table} ${declared[1]}`, []);
    const rule = /^-A (\S+) (.*)$/.exec(line);
    if (rule?.[1] !== undefined && rule[2] !== undefined)
      rules.get(`${table} ${rule[1]}`)?.push(rule[2].trim());
  }
  return rules;
}

/**
 * What is otherwise, in words. Nothing when the kernel has exactly the wanted rules, each chain reached by one jump that
 * comes before everybody else's rules, and none of our chains (`ours`) that are not wanted.
 */
export function differencesFrom(
  wanted: readonly ChainRules[],
  ours: readonly ChainRules[],
  saved: SavedRules,
): readonly string[] {
  return [
    ...wanted.flatMap((chain) => {
      const actual = saved.get(chainKey(chain));
      if (actual === undefined) return [`${chainKey(chain)} is missing`];
      const inChain = ruleDifferences(chainKey(chain), chain.rules.map(plain), actual.map(plain));
      return [...jumpDifferences(chain, saved), ...inChain];
    }),
    ...present(unwanted(wanted, ours), saved).map((chain) => `${chainKey(chain)} should not be there`),
  ];
}

function jumpDifferences(chain: ChainRules, saved: SavedRules): readonly string[] {
  const count = countJumps(chain, saved);
  if (count !== 1) return [`${hookKey(chain)} has "${jumpTo(chain)}" ${count} times, not once`];
  const [first] = saved.get(hookKey(chain)) ?? [];
  return first === jumpTo(chain) ? [] : [`${hookKey(chain)} has "${first}" before "${jumpTo(chain)}"`];
}

/** Chains of ours that the kernel has. */
export function present(ours: readonly ChainRules[], saved: SavedRules): readonly ChainRules[] {
  return ours.filter((c) => saved.has(chainKey(c)));
}

/** The nft back end leaves out `-m tcp` where no option needs it; both spellings mean the same. */
function plain(rule: string): string {
  return rule.replaceAll(/ -m (tcp|udp)/g, '').replaceAll(/\s+/g, ' ');
}

/**
 * Input for `iptables-restore --noflush`: each table is replaced in one kernel transaction, so there is no moment
 * without rules. Declaring a chain empties it; jumps that exist are taken out first, lest they pile up. What is ours
 * and not wanted goes, after what is wanted is in force.
 */
export function restoreInput(
  wanted: readonly ChainRules[],
  ours: readonly ChainRules[],
  saved: SavedRules,
): string {
  const wantedInput = byTable(wanted, (chains) => [
    ...chains.map(({ chain }) => `:${chain} - [0:0]`),
    ...chains.flatMap((c) => [...removeJumps(c, saved), `-I ${c.hook} 1 -j ${c.chain}`]),
    ...chains.flatMap(({ chain, rules }) => rules.map((rule) => `-A ${chain} ${rule}`)),
  ]);
  return wantedInput + removalInput(unwanted(wanted, ours), saved);
}

/** Input that removes those of the chains that exist, and nothing else. Empty when there is none. */
export function removalInput(chains: readonly ChainRules[], saved: SavedRules): string {
  return byTable(present(chains, saved), (inTable) => [
    ...inTable.flatMap((c) => removeJumps(c, saved)),
    ...inTable.flatMap(({ chain }) => [`-F ${chain}`, `-X ${chain}`]),
  ]);
}

function unwanted(wanted: readonly ChainRules[], ours: readonly ChainRules[]): readonly ChainRules[] {
  const keys = new Set(wanted.map(chainKey));
  return ours.filter((c) => !keys.has(chainKey(c)));
}

function countJumps(chain: ChainRules, saved: SavedRules): number {
  return (saved.get(hookKey(chain)) ?? []).filter((rule) => rule === jumpTo(chain)).length;
}

function removeJumps(chain: ChainRules, saved: SavedRules): readonly string[] {
  return Array.from<string>({ length: countJumps(chain, saved) }).fill(`-D ${chain.hook} ${jumpTo(chain)}`);
}

function byTable(
  chains: readonly ChainRules[],
  lines: (chains: readonly ChainRules[]) => readonly string[],
): string {
  const tables = [...new Set(chains.map(({ table }) => table))];
  return tables
    .map((table) => `*${table}\n${lines(chains.filter((c) => c.table === table)).join('\n')}\nCOMMIT\n`)
    .join('');
}
