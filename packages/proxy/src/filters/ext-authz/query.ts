/** The target with parameters of its query removed and set; the others stay as they are written. */
export function setQuery(
  target: string,
  change: { readonly set: readonly (readonly [string, string])[]; readonly remove: readonly string[] },
): string {
  if (change.set.length === 0 && change.remove.length === 0) return target;
  const at = target.indexOf('?');
  const path = at < 0 ? target : target.slice(0, at);
  const gone = new Set([...change.remove, ...change.set.map(([name]) => name)]);
  const kept = (at < 0 ? '' : target.slice(at + 1))
    .split('&')
    .filter((pair) => pair !== '' && !gone.has(decoded(pair.split('=', 1)[0] ?? '')));
  const set = change.set.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  const query = [...kept, ...set].join('&');
  return query === '' ? path : `${path}?${query}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
