import { readFileSync, rmSync } from 'node:fs';
import { runIn, type Target } from './run-in.ts';
import type { Requests } from './wrk.ts';

const CONNECTIONS = 10;

/** h2load at a fixed rate over ten connections of HTTP/1.1; percentiles are of its log of each request. */
export async function h2loadPaced(target: Target, perSecond: number, logFile: string): Promise<Requests> {
  rmSync(logFile, { force: true }); // h2load appends
  const stdout = await runIn(target, 'h2load', [
    '--h1',
    `--clients=${CONNECTIONS}`,
    `--rps=${perSecond / CONNECTIONS}`,
    `--duration=${target.seconds}`,
    `--log-file=${logFile}`,
    `http://${target.ip}/`,
  ]);
  return {
    ...parseH2loadLog(readFileSync(logFile, 'utf8'), target.seconds),
    errors: parseH2loadErrors(stdout),
  };
}

/** A line a request: start in µs, status, duration in µs. */
export function parseH2loadLog(text: string, seconds: number): Omit<Requests, 'errors'> {
  const durationsMs = text
    .trimEnd()
    .split('\n')
    .map((line) => Number(line.split('\t')[2]) / 1_000)
    .sort((a, b) => a - b);
  const percentile = (share: number): number =>
    durationsMs[Math.floor(durationsMs.length * share)] ?? Number.NaN;
  return { perSecond: durationsMs.length / seconds, p50Ms: percentile(0.5), p99Ms: percentile(0.99) };
}

export function parseH2loadErrors(text: string): number {
  const [, failed, errored, timeout] = /(\d+) failed, (\d+) errored, (\d+) timeout/.exec(text) ?? [];
  if (failed === undefined) throw new Error(`h2load said something else: ${text}`);
  // Failed ones include errored ones.
  return Math.max(Number(failed), Number(errored)) + Number(timeout);
}
