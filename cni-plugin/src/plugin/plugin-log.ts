import { appendFileSync, renameSync, statSync } from 'node:fs';
import { request } from 'node:http';
import type { LogLevel } from '@weft/telemetry';

/** One older file is kept. */
export const MAX_LOG_BYTES = 10 * 1024 * 1024;
/** The agent may be away or slow; a pod does not wait for its log. */
const SEND_TIMEOUT_MS = 200;

type EntryLevel = 'error' | 'info' | 'debug';
const rank: Readonly<Record<LogLevel, number>> = { off: 0, error: 1, warn: 2, info: 3, debug: 4, trace: 5 };

interface LogEntry {
  readonly level: EntryLevel;
  readonly time: string;
  readonly msg: string;
}

/**
 * The runtime shows only failures. This tells of every call, to a file on the node and through the agent's socket to
 * the agent's log. Neither a full disk nor an absent agent keeps a pod from starting.
 */
export class PluginLog {
  private readonly runDir: string;
  private readonly level: LogLevel;
  private readonly entries: LogEntry[] = [];

  constructor(runDir: string, level: LogLevel) {
    this.runDir = runDir;
    this.level = level;
  }

  write(level: EntryLevel, msg: string): void {
    if (rank[level] > rank[this.level]) return;
    const entry = { level, time: new Date().toISOString(), msg };
    this.entries.push(entry);
    try {
      appendRolling(
        `${this.runDir}/istio-cni.log`,
        `${entry.time}\t${level}\t${msg.replaceAll('\n', ' ')}\n`,
      );
    } catch {
      // A full or read-only disk.
    }
  }

  /** To the agent, in the form in which Istio's agent takes it: a list of JSON texts. */
  async send(): Promise<void> {
    if (this.entries.length === 0) return;
    await new Promise<void>((resolve) => {
      const sent = request(
        { socketPath: `${this.runDir}/log.sock`, path: '/log', method: 'POST', timeout: SEND_TIMEOUT_MS },
        (response) => response.resume().on('close', resolve),
      );
      sent.on('timeout', () => sent.destroy());
      sent.on('error', () => resolve());
      sent.end(JSON.stringify(this.entries.map((entry) => JSON.stringify(entry))));
    });
  }
}

function appendRolling(file: string, line: string): void {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG_BYTES) renameSync(file, `${file}.1`);
  appendFileSync(file, line, { mode: 0o600 });
}
