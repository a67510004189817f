/**
 * Keys for selecting by labels without scanning. A selector is filed under one of its pairs; labels are looked up
 * under all of theirs. A change of one selector then concerns only objects that carry that pair.
 */

export type Labels = Readonly<Record<string, string>>;

/** Where a selector is filed within a scope (a namespace, say); an empty selector has a place of its own. */
export function selectorKey(scope: string, selector: Labels): string {
  const [pair] = Object.entries(selector).sort(([a], [b]) => (a < b ? -1 : 1));
  return pair === undefined ? `${scope}\0` : pairKey(scope, pair[0], pair[1]);
}

/** Every place at which a selector matching these labels may be filed. */
export function labelKeys(scope: string, labels: Labels): string[] {
  const keys = [`${scope}\0`];
  for (const [label, value] of Object.entries(labels)) keys.push(pairKey(scope, label, value));
  return keys;
}

export function selects(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([label, value]) => labels[label] === value);
}

function pairKey(scope: string, label: string, value: string): string {
  return `${scope}\0${label}=${value}`;
}
