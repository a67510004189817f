import { execFile, type ChildProcess, type ExecFileOptions } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { inNetworkNamespace, type NetworkNamespace } from '@weft/linux';

/** Clock ticks of /proc/PID/stat a second: 100 on every Linux architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
const MEBIBYTE = 2 ** 20;

export interface Requests {
  readonly perSecond: number;
  readonly p99Ms: number;
}

export interface Target {
  readonly from: NetworkNamespace;
  readonly ip: string;
  readonly seconds: number;
}

/** wrk: as many requests as `connections` carry; with `fresh`, each on a connection of its own. */
export async function requests(
  { from, ip, seconds }: Target,
  connections: number,
  o: { fresh?: boolean } = {},
): Promise<Requests> {
  const stdout = await runIn(from, 'wrk', [
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--latency',
    ...(o.fresh === true ? ['-H', 'Connection: close'] : []),
    `http://${ip}/`,
  ]);
  const failed = /Non-2xx or 3xx responses: (\d+)/.exec(stdout);
  if (failed !== null) throw new Error(`requests to ${ip} failed: ${failed[0]}`);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
  const p99 = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout);
  const unitMs = { us: 1e-3, ms: 1, s: 1e3 }[p99?.[2] ?? 'ms'] ?? 1;
  return { perSecond, p99Ms: Number(p99?.[1]) * unitMs };
}

/** h2load at a fixed rate over 10 connections of HTTP/1.1; the p99 is that of its log of each request. */
export async function paced(target: Target, perSecond: number, logFile: string): Promise<Requests> {
  const connections = 10;
  await runIn(target.from, 'h2load', [
    '--h1',
    `--clients=${connections}`,
    `--rps=${perSecond / connections}`,
    `--duration=${target.seconds}`,
    `--log-file=${logFile}`,
    `http://${target.ip}/`,
  ]);
  const durationsMs = readFileSync(logFile, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => Number(line.split('\t')[2]) / 1_000)
    .sort((a, b) => a - b);
  return {
    perSecond: durationsMs.length / target.seconds,
    p99Ms: durationsMs[Math.floor(durationsMs.length * 0.99)] ?? Number.NaN,
  };
}

/** iperf3, one stream; gigabits that arrived in a second. */
export async function bulk({ from, ip, seconds }: Target, direction: 'fwd' | 'rev'): Promise<number> {
  const stdout = await runIn(from, 'iperf3', [
    '-c',
    ip,
    '-t',
    String(seconds),
    '-J',
    ...(direction === 'rev' ? ['-R'] : []),
  ]);
  const { end } = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } }; // iperf3's own shape
  return end.sum_received.bits_per_second / 1e9;
}

/** Processor seconds that processes have used so far. */
export function cpuSeconds(processes: readonly ChildProcess[]): number {
  const ticks = processes.map(({ pid }) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]); // utime, stime: fields 14 and 15 of proc(5)
  });
  return ticks.reduce((a, b) => a + b, 0) / TICKS_PER_SECOND;
}

/** The largest resident size among processes, in MiB. */
export function residentMebibytes(processes: readonly ChildProcess[]): number {
  const sizes = processes.map(({ pid }) => {
    const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return (Number(kilobytes) * 1024) / MEBIBYTE;
  });
  return Math.max(...sizes);
}

function runIn(namespace: NetworkNamespace, program: string, args: readonly string[]): Promise<string> {
  const options: ExecFileOptions = { maxBuffer: 16 * MEBIBYTE };
  return new Promise((resolve, reject) => {
    inNetworkNamespace(namespace, () =>
      execFile(program, args, { ...options, encoding: 'utf8' }, (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`${program} ${args.join(' ')}: ${stderr || stdout}`, { cause: error }));
      }),
    );
  });
}
