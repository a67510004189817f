import { RE2JS } from 're2js';

/** Far above what people write; Envoy and our engine compile these patterns for every listener that has them. */
const MAX_REGEX_LENGTH = 1_024;

/** Why a proxy would refuse the pattern, and with it everything else that comes with it; undefined for a good one. */
export function regexProblem(regex: string): string | undefined {
  if (regex.length > MAX_REGEX_LENGTH) return `is longer than ${MAX_REGEX_LENGTH} characters`;
  try {
    RE2JS.compile(regex);
    return undefined;
  } catch (error) {
    // The library throws its own errors only; their message names the fault and the place.
    const why = error instanceof Error ? error.message : String(error);
    return `"${regex}" is not a regular expression (RE2): ${why}`;
  }
}
