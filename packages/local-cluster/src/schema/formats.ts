import { isIP, isIPv4, isIPv6 } from 'node:net';

/** Checks for the `format` keyword. Formats that aren't here are ignored, as the API server does. */
export const stringFormats: ReadonlyMap<string, (text: string) => boolean> = new Map([
  ['date-time', isDateTime],
  ['date', (text) => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text))],
  ['byte', (text) => text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text)],
  ['ipv4', isIPv4],
  ['ipv6', isIPv6],
  ['ip', (text) => isIP(text) !== 0],
  ['cidr', isCidr],
  ['uuid', (text) => /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text)],
]);

/** Bounds of the `format` of integers; int64 can't be exceeded by what a JSON number carries exactly. */
export const integerBounds: ReadonlyMap<string, number> = new Map([['int32', 2 ** 31]]);

/** RFC 3339. */
export function isDateTime(text: string): boolean {
  return (
    /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(text) &&
    !Number.isNaN(Date.parse(text))
  );
}

export function isCidr(text: string): boolean {
  const slash = text.lastIndexOf('/');
  const family = isIP(text.slice(0, Math.max(slash, 0)));
  const length = text.slice(slash + 1);
  return family !== 0 && /^(0|[1-9]\d{0,2})$/.test(length) && Number(length) <= (family === 4 ? 32 : 128);
}
