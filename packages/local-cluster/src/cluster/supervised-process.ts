import { spawn, type ChildProcess } from 'node:child_process';
import type { Logger } from '@weft/telemetry';
import type { RotatingLog } from './rotating-log.ts';
import { systemEnvironment } from './commands.ts';

export const RESTART_BACKOFF_MIN_MS = 200;
export const RESTART_BACKOFF_MAX_MS = 10_000;
/** A process that ran this long is healthy: its next crash starts from the shortest delay. */
export const RESTART_BACKOFF_RESET_MS = 30_000;
export const STOP_GRACE_MS = 3_000;

export interface ProcessPlan {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Descriptors that the child inherits as 3, 4, … */
  readonly descriptors?: readonly number[];
  readonly env?: Readonly<Record<string, string>>;
}

/** The delay before the next start, from the previous delay and how long the process ran. */
export function nextRestartDelayMs(previousMs: number, ranMs: number): number {
  if (ranMs >= RESTART_BACKOFF_RESET_MS) return RESTART_BACKOFF_MIN_MS;
  return Math.min(Math.max(previousMs * 2, RESTART_BACKOFF_MIN_MS), RESTART_BACKOFF_MAX_MS);
}

/**
 * Keeps one process running.
 *
 *     stopped ──start──▶ running ──exit──▶ waiting ──timer──▶ running
 *                           └──────stop──────┴──────▶ stopped
 */
export class SupervisedProcess {
  private readonly plan: ProcessPlan;
  private readonly log: RotatingLog;
  private readonly logger: Logger;
  private child: ChildProcess | undefined;
  private timer: NodeJS.Timeout | undefined;
  private delayMs = 0;
  private wanted = false;

  constructor(plan: ProcessPlan, log: RotatingLog, logger: Logger) {
    this.plan = plan;
    this.log = log;
    this.logger = logger;
  }

  start(): void {
    this.wanted = true;
    this.launch();
  }

  /** SIGTERM, then SIGKILL after the grace period. Resolves when the process is gone. */
  async stop(graceMs = STOP_GRACE_MS): Promise<void> {
    this.wanted = false;
    clearTimeout(this.timer);
    const child = this.child;
    if (child === undefined) return;
    const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
    child.kill('SIGTERM');
    const killer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    await gone;
    clearTimeout(killer);
  }

  private launch(): void {
    const startedAt = Date.now();
    const { name, command, args, descriptors = [], env = {} } = this.plan;
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
      env: { ...systemEnvironment(), ...env },
    });
    this.child = child;
    child.stdout?.on('data', (chunk: Buffer) => this.log.write(chunk));
    child.stderr?.on('data', (chunk: Buffer) => this.log.write(chunk));
    child.once('error', (error) => this.log.write(Buffer.from(`${name} did not start: ${error.message}\n`)));
    child.once('close', (code, signal) => {
      this.child = undefined;
      if (!this.wanted) return;
      this.delayMs = nextRestartDelayMs(this.delayMs, Date.now() - startedAt);
      this.logger.warn('process ended; starting it again', {
        process: name,
        code,
        signal,
        delayMs: this.delayMs,
      });
      this.timer = setTimeout(() => this.launch(), this.delayMs);
    });
    this.logger.info('process started', { process: name, pid: child.pid });
  }
}
