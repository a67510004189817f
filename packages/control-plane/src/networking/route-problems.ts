import type { AnyRouteFacts, RouteFilter, ValueMatch } from '../sources/gateway-objects.ts';
import { parseGatewayDuration } from './gateway-duration.ts';
import { regexProblem } from './regex.ts';
import { supportedFilters } from './route-filters.ts';

/** Something that a rule says and a waypoint doesn't do. */
export interface RouteProblem {
  readonly rule: number;
  /** Below `spec`: `rules[0].filters[1]`. */
  readonly field: string;
  readonly message: string;
  /**
   * `refused`: requests that the rule matches are answered 500, because what was to become of them is not known.
   * `ignored`: the rule is served without it. `unmatched`: nobody could say what the rule matches, so it doesn't exist.
   */
  readonly effect: 'refused' | 'ignored' | 'unmatched';
  readonly reason: 'UnsupportedValue' | 'IncompatibleFilters';
  /** The author's mistake, not something that other implementations might do: the webhook refuses it. */
  readonly isMistake: boolean;
}

/** All that becomes of a route otherwise than written, references to other objects aside. */
export function routeProblems(route: AnyRouteFacts): RouteProblem[] {
  return route.rules.flatMap((rule, i) => {
    const { filters = [], timeouts = {}, retry, sessionPersistence } = rule;
    const at = (
      field: string,
      effect: RouteProblem['effect'],
      message: string,
      o: Partial<Pick<RouteProblem, 'reason' | 'isMistake'>> = {},
    ): RouteProblem => {
      const { reason = 'UnsupportedValue', isMistake = false } = o;
      return { rule: i, field: `rules[${i}].${field}`, effect, message, reason, isMistake };
    };
    const mistake = { isMistake: true };
    const durations = [
      ['timeouts.request', timeouts.request],
      ['timeouts.backendRequest', timeouts.backendRequest],
      ['retry.backoff', retry?.backoff],
    ] as const;
    return [
      ...matchProblems(route, i).map(({ field, message }) => at(field, 'unmatched', message, mistake)),
      ...filters.flatMap(({ type }, j) =>
        supportedFilters[route.kind].includes(type)
          ? []
          : [at(`filters[${j}]`, 'refused', `unsupported filter type "${type}"`)],
      ),
      ...incompatible(filters).map((message) =>
        at('filters', 'refused', message, { ...mistake, reason: 'IncompatibleFilters' }),
      ),
      ...durations.flatMap(([field, text]) =>
        text === undefined || parseGatewayDuration(text) !== undefined
          ? []
          : [at(field, 'ignored', `"${text}" is not a duration`, mistake)],
      ),
      ...(sessionPersistence === undefined
        ? []
        : [at('sessionPersistence', 'ignored', 'is not supported: sessions do not stick to an endpoint')]),
    ];
  });
}

function incompatible(filters: readonly RouteFilter[]): string[] {
  const has = (type: string): boolean => filters.some((filter) => filter.type === type);
  return has('RequestRedirect') && has('URLRewrite')
    ? ['RequestRedirect and URLRewrite exclude each other']
    : [];
}

function matchProblems(
  route: AnyRouteFacts,
  rule: number,
): { readonly field: string; readonly message: string }[] {
  const regexes: (readonly [string, string])[] = [];
  const values = (at: string, list: readonly ValueMatch[] = []): void => {
    list.forEach(({ type, value }, i) => {
      if (type === 'RegularExpression') regexes.push([`${at}[${i}].value`, value]);
    });
  };
  if (route.kind === 'HTTPRoute') {
    route.rules[rule]?.matches?.forEach(({ path, headers, queryParams }, i) => {
      if (path?.type === 'RegularExpression') regexes.push([`matches[${i}].path.value`, path.value ?? '']);
      values(`matches[${i}].headers`, headers);
      values(`matches[${i}].queryParams`, queryParams);
    });
  } else {
    route.rules[rule]?.matches?.forEach(({ method, headers }, i) => {
      if (method?.type === 'RegularExpression') {
        if (method.service !== undefined) regexes.push([`matches[${i}].method.service`, method.service]);
        if (method.method !== undefined) regexes.push([`matches[${i}].method.method`, method.method]);
      }
      values(`matches[${i}].headers`, headers);
    });
  }
  return regexes.flatMap(([field, regex]) => {
    const message = regexProblem(regex);
    return message === undefined ? [] : [{ field, message }];
  });
}
