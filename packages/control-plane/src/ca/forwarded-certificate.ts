/**
 * The identity in the last element of `x-forwarded-client-cert` (Envoy's header of that name): what the gateway itself
 * has seen. Earlier elements are hearsay.
 */
export function forwardedIdentity(header: string): string | undefined {
  const last = (splitOutsideQuotes(header, ',').at(-1) ?? '').trim();
  const found = splitOutsideQuotes(last, ';').flatMap((pair) => {
    const separator = pair.indexOf('=');
    const name = pair.slice(0, separator).trim().toLowerCase();
    return separator > 0 && name === 'uri' ? [unquoted(pair.slice(separator + 1).trim())] : [];
  });
  return found.length === 1 ? found[0] : undefined;
}

function splitOutsideQuotes(text: string, separator: string): readonly string[] {
  const parts: string[] = [];
  let quoted = false;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '\\' && quoted) i++;
    else if (character === '"') quoted = !quoted;
    else if (character === separator && !quoted) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return [...parts, text.slice(start)];
}

function unquoted(text: string): string {
  return text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text;
}
