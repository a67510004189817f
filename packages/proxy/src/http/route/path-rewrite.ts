import { compileRegexRewrite, type RegexSubstitution } from '../../matching/index.ts';

/** Changes the path part of a request target; the query stays. */
export type PathRewrite = (path: string) => string;

/** Replaces what the route's prefix or path matched. */
export function prefixRewrite(matched: string, replacement: string, caseSensitive: boolean): PathRewrite {
  return (path) => {
    const fits = caseSensitive
      ? path.startsWith(matched)
      : path.toLowerCase().startsWith(matched.toLowerCase());
    return fits ? replacement + path.slice(matched.length) : path;
  };
}

export function regexRewrite(rule: RegexSubstitution): PathRewrite {
  return compileRegexRewrite(rule);
}

/** Splits a request target at its query or fragment. */
export function splitTarget(target: string): readonly [path: string, rest: string] {
  const end = target.search(/[?#]/);
  return end < 0 ? [target, ''] : [target.slice(0, end), target.slice(end)];
}

export function rewriteTarget(target: string, rewrite: PathRewrite): string {
  const [path, rest] = splitTarget(target);
  return rewrite(path) + rest;
}
