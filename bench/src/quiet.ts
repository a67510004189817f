import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const SAMPLE_MS = 250;
/** Of all cores' time: with less in use, a machine counts as quiet. */
export const BUSY_SHARE = 0.15;
const WAIT_MS = 8_000;
/** Of a whole run: a machine that is never quiet must not make it endless. */
const TOTAL_WAIT_MS = 180_000;

/** Lets a measurement begin when nothing else runs, and remembers how often that couldn't be had. */
export class QuietCheck {
  private leftMs = TOTAL_WAIT_MS;
  private checks = 0;
  private noisy = 0;

  /** @returns the share of the processors that was in use at last */
  async wait(): Promise<number> {
    this.checks++;
    const deadlineMs = performance.now() + Math.min(WAIT_MS, this.leftMs);
    for (;;) {
      const before = readCpuTimes();
      await sleep(SAMPLE_MS);
      const share = busyShare(before, readCpuTimes());
      if (share <= BUSY_SHARE) return share;
      this.leftMs = Math.max(0, this.leftMs - SAMPLE_MS);
      if (performance.now() < deadlineMs) continue;
      this.noisy++;
      return share;
    }
  }

  get summary(): { readonly checks: number; readonly noisy: number } {
    return { checks: this.checks, noisy: this.noisy };
  }
}

/** Jiffies since the start: all, and those that were not idle. */
export interface CpuTimes {
  readonly total: number;
  readonly busy: number;
}

export function parseCpuTimes(procStat: string): CpuTimes {
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = (
    /^cpu +(.*)$/m.exec(procStat)?.[1] ?? ''
  )
    .split(' ')
    .map(Number);
  const busy = user + nice + system + irq + softirq + steal;
  return { total: busy + idle + iowait, busy };
}

export function busyShare(before: CpuTimes, after: CpuTimes): number {
  const total = after.total - before.total;
  return total === 0 ? 0 : (after.busy - before.busy) / total;
}

function readCpuTimes(): CpuTimes {
  return parseCpuTimes(readFileSync('/proc/stat', 'utf8'));
}
