import { type JsonObject, objectAt, objectsAt, stringAt, stringsAt } from '../schema/index.ts';

/** Go's short form of a duration, as kubectl prints ages: `42s`, `5m10s`, `3h`, `2d5h`, `400d`. */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return withRest(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return withRest(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 24 * 8) return withRest(days, 'd', hours % 24, 'h');
  if (days < 365 * 2) return `${days}d`;
  const years = Math.floor(days / 365);
  return days < 365 * 8 ? withRest(years, 'y', days % 365, 'd') : `${years}y`;
}

function withRest(whole: number, unit: string, rest: number, restUnit: string): string {
  return rest === 0 ? `${whole}${unit}` : `${whole}${unit}${rest}${restUnit}`;
}

/** Time since a timestamp; what kubectl prints where there is none is `<unknown>`. */
export function since(timestamp: string | undefined, now: Date): string {
  const then = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  return Number.isNaN(then) ? '<unknown>' : humanDuration(now.getTime() - then);
}

export function age(object: JsonObject, now: Date): string {
  return since(stringAt(objectAt(object, 'metadata'), 'creationTimestamp'), now);
}

/** `a=b,c=d`; `<none>` for nothing. */
export function labels(map: JsonObject | undefined): string {
  const entries = Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : ''}`);
  return entries.length === 0 ? '<none>' : entries.join(',');
}

/** A label selector with both of its parts. */
export function selector(value: JsonObject | undefined): string {
  const expressions = objectsAt(value, 'matchExpressions').map((expression) => {
    const key = stringAt(expression, 'key') ?? '';
    const values = stringsAt(expression, 'values').join(',');
    switch (stringAt(expression, 'operator')) {
      case 'In':
        return `${key} in (${values})`;
      case 'NotIn':
        return `${key} notin (${values})`;
      case 'Exists':
        return key;
      default:
        return `!${key}`;
    }
  });
  const matchLabels = objectAt(value, 'matchLabels');
  const parts = [...(matchLabels === undefined ? [] : [labels(matchLabels)]), ...expressions];
  return parts.length === 0 ? '<none>' : parts.join(',');
}

export function containerNames(podSpec: JsonObject | undefined): string {
  return objectsAt(podSpec, 'containers')
    .map((container) => stringAt(container, 'name') ?? '')
    .join(',');
}

export function containerImages(podSpec: JsonObject | undefined): string {
  return objectsAt(podSpec, 'containers')
    .map((container) => stringAt(container, 'image') ?? '')
    .join(',');
}

export function orNone(text: string | undefined): string {
  return text === undefined || text === '' ? '<none>' : text;
}
