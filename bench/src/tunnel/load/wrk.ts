import { runIn, type Target } from './run-in.ts';

export interface Requests {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Connections that failed, requests that timed out, and answers that weren't 2xx or 3xx. */
  readonly errors: number;
}

/** wrk: as many requests as `connections` carry; with `fresh`, each on a connection of its own. */
export async function wrk(
  target: Target,
  connections: number,
  { fresh = false }: { readonly fresh?: boolean } = {},
): Promise<Requests> {
  const header = fresh ? ['-H', 'Connection: close'] : [];
  return parseWrk(
    await runIn(target, 'wrk', [
      '-t1',
      `-c${connections}`,
      `-d${target.seconds}s`,
      '--latency',
      ...header,
      `http://${target.ip}/`,
    ]),
  );
}

/** What `wrk --latency` prints; its percentiles are of its own histogram. @throws if something is missing */
export function parseWrk(text: string): Requests {
  const number = (pattern: RegExp): number => {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) throw new Error(`wrk said something else: ${text}`);
    return Number(found);
  };
  const percentileMs = (percent: number): number => {
    const [, value, unit = ''] = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s|m)`).exec(text) ?? [];
    const unitMs = UNIT_MS[unit];
    if (value === undefined || unitMs === undefined) throw new Error(`wrk said something else: ${text}`);
    return Number(value) * unitMs;
  };
  const socketErrors =
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text) ?? [];
  const refused = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0;
  const errors = socketErrors.slice(1).reduce((sum, count) => sum + Number(count), Number(refused));
  const perSecond = number(/Requests\/sec:\s+([\d.]+)/);
  // wrk prints percentiles of 0 then, and no error.
  if (perSecond === 0)
    return { perSecond, p50Ms: Number.NaN, p99Ms: Number.NaN, errors: Math.max(1, errors) };
  return { perSecond, p50Ms: percentileMs(50), p99Ms: percentileMs(99), errors };
}

const UNIT_MS: Readonly<Record<string, number>> = { us: 1e-3, ms: 1, s: 1e3, m: 60e3 };
