import { parseGatewayDuration } from '../networking/gateway-duration.ts';
import { isServiceParent } from '../networking/route-attachment.ts';
import { supportedFilters } from '../networking/route-filters.ts';
import type { AnyRouteFacts, HttpRouteMatch, ValueMatch } from '../sources/gateway-objects.ts';
import { FieldChecks, type FieldError, type Verdict } from './field-errors.ts';

/** What the CRD's schema can't say about a route in the mesh. Routes of gateways are others' business. */
export function validateRoute(route: AnyRouteFacts): Verdict {
  const errors: FieldError[] = [];
  const warnings: string[] = [];
  if (!route.parentRefs.some(isServiceParent)) return { errors, warnings };
  const spec = new FieldChecks('spec', errors);
  if (route.hostnames.length > 0) {
    warnings.push(
      'hostnames have no effect for Service parents: requests are matched by the Service they were sent to',
    );
  }
  route.parentRefs.forEach((parent, i) => {
    if (isServiceParent(parent) && parent.sectionName !== undefined)
      warnings.push(`parentRefs[${i}].sectionName has no effect for a Service; use port`);
  });
  route.rules.forEach(({ filters = [], timeouts = {}, retry }, i) => {
    const at = spec.at('rules').at(i);
    filters.forEach(({ type }) => {
      if (!supportedFilters.includes(type))
        warnings.push(`rules[${i}]: filter ${type} is not supported; its requests are answered 500`);
    });
    checkDuration(at.at('timeouts').at('request'), timeouts.request);
    checkDuration(at.at('timeouts').at('backendRequest'), timeouts.backendRequest);
    checkDuration(at.at('retry').at('backoff'), retry?.backoff);
  });
  if (route.kind === 'HTTPRoute') {
    route.rules.forEach(({ matches = [] }, i) => {
      matches.forEach((match, j) => checkMatch(spec.at('rules').at(i).at('matches').at(j), match));
    });
  }
  return { errors, warnings };
}

function checkDuration(at: FieldChecks, text: string | undefined): void {
  if (text !== undefined && parseGatewayDuration(text) === undefined)
    at.refuse(`"${text}" is not a duration`);
}

function checkMatch(at: FieldChecks, { path = {}, headers = [], queryParams = [] }: HttpRouteMatch): void {
  if (path.type === 'RegularExpression') checkRegex(at.at('path').at('value'), path.value ?? '');
  const check = (field: string, values: readonly ValueMatch[]): void => {
    values.forEach(({ type, value }, i) => {
      if (type === 'RegularExpression') checkRegex(at.at(field).at(i).at('value'), value);
    });
  };
  check('headers', headers);
  check('queryParams', queryParams);
}

const MAX_REGEX_LENGTH = 1_024;

/** RE2 knows no look-around and no back-references; the rest is near enough to what JavaScript parses. */
function checkRegex(at: FieldChecks, regex: string): void {
  if (regex.length > MAX_REGEX_LENGTH) return at.refuse(`is longer than ${MAX_REGEX_LENGTH} characters`);
  if (/\(\?(=|!|<=|<!)|\\[1-9]/.test(regex))
    return at.refuse('look-around and back-references are not supported (RE2)');
  try {
    // RE2 alone allows flags at the start and named groups with P.
    new RegExp(regex.replace(/^\(\?[imsU]+\)/, '').replaceAll('(?P<', '(?<'), 'u');
  } catch (error) {
    at.refuse(
      `"${regex}" is not a regular expression: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
