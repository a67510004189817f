import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Clock ticks of /proc/PID/stat a second: 100 on every Linux architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
const KIBIBYTES_PER_MEBIBYTE = 1_024;

/** Processor seconds that processes and their children, as nginx has, have used so far. */
export function cpuSeconds(processes: readonly ChildProcess[]): number {
  const ticks = processes
    .flatMap(({ pid }) => withChildren(pid ?? 0))
    .map((pid) => {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(fields[11]) + Number(fields[12]); // utime, stime: fields 14 and 15 of proc(5)
    });
  return ticks.reduce((a, b) => a + b, 0) / TICKS_PER_SECOND;
}

/** The largest resident size among processes, in MiB. */
export function residentMebibytes(processes: readonly ChildProcess[]): number {
  const sizes = processes.map(({ pid }) => {
    const kibibytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kibibytes) / KIBIBYTES_PER_MEBIBYTE;
  });
  return Math.max(...sizes);
}

function withChildren(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return [pid, ...children.filter((child) => child !== '').map(Number)];
}
