import { isLogLevel, type LogLevels } from '@weft/telemetry';

/**
 * Applies RUST_LOG's syntax: `info`, `access=debug`, several by comma. Returns what was wrong, if anything was;
 * then nothing is changed.
 */
export function applyLogFilter(levels: LogLevels, filter: string): string | undefined {
  const changes: { level: Parameters<LogLevels['set']>[0]; scope?: string }[] = [];
  for (const part of filter.split(',').filter((p) => p !== '')) {
    const cut = part.indexOf('=');
    const level = part.slice(cut + 1).toLowerCase();
    if (!isLogLevel(level) || cut === 0) return `invalid level: ${part}`;
    changes.push(cut < 0 ? { level } : { level, scope: part.slice(0, cut) });
  }
  for (const { level, scope } of changes) levels.set(level, scope);
  return undefined;
}

/** POST `/logging`: `?level=…` sets, `?reset` goes back to the start, nothing shows. */
export function changeLogging(
  levels: LogLevels,
  query: URLSearchParams,
  initialFilter: string,
): { status: number; body: string } {
  if (query.has('reset')) {
    levels.reset();
    applyLogFilter(levels, initialFilter);
  }
  const level = query.get('level');
  const problem = level === null ? undefined : applyLogFilter(levels, level);
  if (problem !== undefined) return { status: 400, body: `${problem}\n` };
  return { status: 200, body: `current log level is ${levels.toString()}\n` };
}
