/** How `%2F` and `%5C` are treated. */
export type EscapedSlashes = 'keep' | 'reject' | 'redirect' | 'forward';

export interface PathOptions {
  readonly normalize: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: EscapedSlashes;
  /** Otherwise a fragment is an error. */
  readonly stripFragment: boolean;
}

export type NormalizedPath =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'redirect'; readonly path: string }
  | { readonly kind: 'reject'; readonly details: string };

/** Brings a request target into the one form that policy, router and upstream all see. The query isn't touched. */
export function normalizeTarget(target: string, o: PathOptions): NormalizedPath {
  let whole = target;
  const fragment = whole.indexOf('#');
  if (fragment >= 0) {
    if (!o.stripFragment) return { kind: 'reject', details: 'path_normalization_failed' };
    whole = whole.slice(0, fragment);
  }
  const queryAt = whole.indexOf('?');
  let path = queryAt < 0 ? whole : whole.slice(0, queryAt);
  const query = queryAt < 0 ? '' : whole.slice(queryAt);
  let redirect = false;
  if (o.escapedSlashes !== 'keep' && /%(?:2f|5c)/i.test(path)) {
    if (o.escapedSlashes === 'reject') return { kind: 'reject', details: 'path_normalization_failed' };
    path = path.replace(/%2f/gi, '/').replace(/%5c/gi, '\\');
    redirect = o.escapedSlashes === 'redirect';
  }
  if (o.normalize) {
    const normalized = normalizePath(path);
    if (normalized === undefined) return { kind: 'reject', details: 'path_normalization_failed' };
    path = normalized;
  }
  if (o.mergeSlashes) path = path.replace(/\/{2,}/g, '/');
  return { kind: redirect ? 'redirect' : 'path', path: path + query };
}

/** RFC 3986 §6.2.2: unreserved characters decoded, dot segments resolved; `\` is taken for `/`. */
export function normalizePath(path: string): string | undefined {
  if (!path.startsWith('/') && !path.startsWith('\\')) return undefined;
  if (/%00/.test(path)) return undefined;
  const decoded = decodeUnreserved(path.replaceAll('\\', '/'));
  if (!decoded.includes('/.')) return escapeUnsafe(decoded);
  const out: string[] = [];
  const segments = decoded.split('/').slice(1);
  for (const [i, segment] of segments.entries()) {
    const last = i === segments.length - 1;
    if (dotSegment(segment, '..')) {
      out.pop();
      if (last) out.push('');
    } else if (dotSegment(segment, '.')) {
      if (last) out.push('');
    } else out.push(segment);
  }
  return escapeUnsafe(`/${out.join('/')}`);
}

/** With parameters or without: servers that cut `;…` off a segment take `..;x` for `..`. */
function dotSegment(segment: string, dots: '.' | '..'): boolean {
  return segment === dots || segment.startsWith(`${dots};`);
}

/** Characters that RFC 3986 has no place for in a path, in the one form that Envoy sends upstream too. */
function escapeUnsafe(path: string): string {
  return path.replace(/["<>^`{|}]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** A `%` that begins no escape, while its neighbours are decoded: a target can't have this character. */
const STRAY = '\0';
// oxlint-disable-next-line no-control-regex -- the mark above
const madeEscape = /\0(?=[0-9A-Fa-f]{2})/g;

/** Decodes once: `%6%31` must not become the escape `%61`, which the upstream would decode to what nobody checked. */
function decodeUnreserved(path: string): string {
  const decoded = path.replace(/%([0-9A-Fa-f]{2})?/g, (escape, hex: string | undefined) => {
    if (hex === undefined) return STRAY;
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    return /[A-Za-z0-9\-._~]/.test(character) ? character : escape;
  });
  return decoded.replace(madeEscape, '%25').replaceAll(STRAY, '%');
}
