const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** `2026-01-31T23:59:58.123Z`, or strftime with `%s` seconds, `%3f` `%6f` `%9f` fractions; always UTC. */
export function compileTimeFormat(format: string | undefined): (epochMs: number) => string {
  if (format === undefined || format === '') return (epochMs) => new Date(epochMs).toISOString();
  return (epochMs) => {
    const date = new Date(epochMs);
    return format.replace(/%(?:([1-9])f|([A-Za-z%]))/g, (whole: string, digits?: string, letter?: string) =>
      digits === undefined ? (field(date, letter ?? '') ?? whole) : fractionOf(date, Number(digits)),
    );
  };
}

function fractionOf(date: Date, digits: number): string {
  return String(date.getUTCMilliseconds()).padStart(3, '0').padEnd(9, '0').slice(0, digits);
}

function field(date: Date, letter: string): string | undefined {
  const two = (n: number): string => String(n).padStart(2, '0');
  const sub = (parts: string): string => parts.replace(/[A-Za-z]/g, (c) => field(date, c) ?? c);
  const hour12 = date.getUTCHours() % 12 || 12;
  switch (letter) {
    case 'Y':
      return String(date.getUTCFullYear());
    case 'y':
      return two(date.getUTCFullYear() % 100);
    case 'm':
      return two(date.getUTCMonth() + 1);
    case 'd':
      return two(date.getUTCDate());
    case 'e':
      return String(date.getUTCDate()).padStart(2, ' ');
    case 'H':
      return two(date.getUTCHours());
    case 'I':
      return two(hour12);
    case 'M':
      return two(date.getUTCMinutes());
    case 'S':
      return two(date.getUTCSeconds());
    case 'p':
      return date.getUTCHours() < 12 ? 'AM' : 'PM';
    case 'f':
      return fractionOf(date, 9);
    case 's':
      return String(Math.floor(date.getTime() / 1000));
    case 'F':
      return sub('Y-m-d');
    case 'T':
      return sub('H:M:S');
    case 'R':
      return sub('H:M');
    case 'D':
      return sub('m/d/y');
    case 'a':
      return DAYS[date.getUTCDay()]?.slice(0, 3);
    case 'A':
      return DAYS[date.getUTCDay()];
    case 'b':
      return MONTHS[date.getUTCMonth()]?.slice(0, 3);
    case 'B':
      return MONTHS[date.getUTCMonth()];
    case 'j':
      return String(
        Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1,
      ).padStart(3, '0');
    case 'z':
      return '+0000';
    case 'Z':
      return 'UTC';
    case '%':
      return '%';
    default:
      return undefined;
  }
}
