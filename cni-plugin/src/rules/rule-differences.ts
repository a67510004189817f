/** What of `actual` is otherwise than wanted, in words for the user; nothing if they are the same, in the same order. */
export function ruleDifferences(
  where: string,
  wanted: readonly string[],
  actual: readonly string[],
): readonly string[] {
  const missing = beyond(wanted, actual);
  const extra = beyond(actual, wanted);
  if (missing.length === 0 && extra.length === 0)
    return wanted.every((rule, i) => rule === actual[i]) ? [] : [`${where} has its rules in another order`];
  const quoted = (rules: readonly string[]): string => rules.map((rule) => `"${rule}"`).join(', ');
  return [
    ...(missing.length > 0 ? [`${where} lacks ${quoted(missing)}`] : []),
    ...(extra.length > 0 ? [`${where} should not have ${quoted(extra)}`] : []),
  ];
}

/** What `rules` has more often than `others`. */
function beyond(rules: readonly string[], others: readonly string[]): readonly string[] {
  const left = [...others];
  return rules.filter((rule) => {
    const at = left.indexOf(rule);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}
