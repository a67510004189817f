export interface KeepaliveOptions {
  /** Time from the start, or from an answer, to the next PING. */
  readonly intervalMs: number;
  /** Without an answer for so long, the connection is dead. */
  readonly timeoutMs: number;
  /** The peer's first SETTINGS must come within this. */
  readonly settingsTimeoutMs: number;
}

export const defaultKeepalive: KeepaliveOptions = {
  intervalMs: 10_000,
  timeoutMs: 20_000,
  settingsTimeoutMs: 10_000,
};

export interface KeepaliveActions {
  ping(opaque: Buffer): void;
  dead(reason: string): void;
}

/**
 * PING keepalive of one connection, with one timer. Not data-aware: an answer is the only sign of life.
 *
 *   awaiting-settings ──► idle ──interval──► awaiting-answer ──► idle …
 *          └──settingsTimeout──► dead ◄──timeout──┘
 */
export class Keepalive {
  private readonly options: KeepaliveOptions;
  private readonly actions: KeepaliveActions;
  private state: 'awaiting-settings' | 'idle' | 'awaiting-answer' | 'stopped' = 'awaiting-settings';
  private timer: NodeJS.Timeout | undefined;
  private sequence = 0n;

  constructor(options: KeepaliveOptions, actions: KeepaliveActions) {
    this.options = options;
    this.actions = actions;
    this.arm(options.settingsTimeoutMs);
  }

  settingsReceived(): void {
    if (this.state !== 'awaiting-settings') return;
    this.state = 'idle';
    this.arm(this.options.intervalMs);
  }

  acknowledged(opaque: Buffer): void {
    if (this.state !== 'awaiting-answer' || opaque.readBigUInt64BE(0) !== this.sequence) return;
    this.state = 'idle';
    this.arm(this.options.intervalMs);
  }

  stop(): void {
    this.state = 'stopped';
    clearTimeout(this.timer);
  }

  private arm(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.onTimer, ms);
    this.timer.unref();
  }

  private readonly onTimer = (): void => {
    switch (this.state) {
      case 'idle': {
        this.state = 'awaiting-answer';
        const opaque = Buffer.alloc(8);
        opaque.writeBigUInt64BE(++this.sequence);
        this.arm(this.options.timeoutMs);
        this.actions.ping(opaque);
        return;
      }
      case 'awaiting-settings':
        this.stop();
        this.actions.dead(`sent no SETTINGS within ${this.options.settingsTimeoutMs} ms`);
        return;
      case 'awaiting-answer':
        this.stop();
        this.actions.dead(`answered no PING within ${this.options.timeoutMs} ms`);
        return;
      case 'stopped':
    }
  };
}
