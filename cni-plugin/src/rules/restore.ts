import type { ChainRules } from './pod-rules.ts';

/** What `iptables-save` says of our chains: rules by `table chain`, and how often each hook jumps to them. */
export interface SavedRules {
  readonly rules: ReadonlyMap<string, readonly string[]>;
  readonly jumps: ReadonlyMap<string, number>;
}

const keyOf = ({ table, chain }: Pick<ChainRules, 'table' | 'chain'>): string => `${table} ${chain}`;

/** Reads `iptables-save` output; rules of other owners are passed over. */
export function parseSaved(text: string): SavedRules {
  const rules = new Map<string, string[]>();
  const jumps = new Map<string, number>();
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim();
    const declared = /^:(ISTIO_\S+)/.exec(line);
    if (declared?.[1] !== undefined) rules.set(`${table} ${declared[1]}`, []);
    const rule = /^-A (\S+) (.*)$/.exec(line);
    if (rule?.[1] === undefined || rule[2] === undefined) continue;
    if (rule[1].startsWith('ISTIO_')) rules.get(`${table} ${rule[1]}`)?.push(rule[2].trim());
    const jump = /^-j (ISTIO_\S+)$/.exec(rule[2].trim());
    if (jump?.[1] !== undefined) {
      const key = `${table} ${jump[1]}`;
      jumps.set(key, (jumps.get(key) ?? 0) + 1);
    }
  }
  return { rules, jumps };
}

/** True when the kernel has exactly the wanted rules, each chain reached by exactly one jump. */
export function isInForce(wanted: readonly ChainRules[], saved: SavedRules): boolean {
  return wanted.every((chain) => {
    const actual = saved.rules.get(keyOf(chain));
    return (
      actual !== undefined &&
      saved.jumps.get(keyOf(chain)) === 1 &&
      actual.length === chain.rules.length &&
      actual.every((rule, i) => sameRule(rule, chain.rules[i] ?? ''))
    );
  });
}

/** The nft back end leaves out `-m tcp` where no option needs it; both spellings mean the same. */
function sameRule(a: string, b: string): boolean {
  const plain = (rule: string): string => rule.replaceAll(' -m tcp', '').replaceAll(/\s+/g, ' ').trim();
  return plain(a) === plain(b);
}

/**
 * Input for `iptables-restore --noflush`: each table is replaced in one kernel transaction, so there is no moment
 * without rules. Declaring a chain empties it; jumps that exist are taken out first, lest they pile up.
 */
export function restoreInput(wanted: readonly ChainRules[], saved: SavedRules): string {
  return byTable(wanted, (chains) => [
    ...chains.map(({ chain }) => `:${chain} - [0:0]`),
    ...chains.flatMap((c) => [...removeJumps(c, saved), `-A ${c.hook} -j ${c.chain}`]),
    ...chains.flatMap(({ chain, rules }) => rules.map((rule) => `-A ${chain} ${rule}`)),
  ]);
}

/** Input that removes every chain of ours that exists, and nothing else. Empty when there is none. */
export function removalInput(wanted: readonly ChainRules[], saved: SavedRules): string {
  const present = wanted.filter((c) => saved.rules.has(keyOf(c)));
  return byTable(present, (chains) => [
    ...chains.flatMap((c) => removeJumps(c, saved)),
    ...chains.flatMap(({ chain }) => [`-F ${chain}`, `-X ${chain}`]),
  ]);
}

function removeJumps(chain: ChainRules, saved: SavedRules): readonly string[] {
  return Array.from<string>({ length: saved.jumps.get(keyOf(chain)) ?? 0 }).fill(
    `-D ${chain.hook} -j ${chain.chain}`,
  );
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
