/** So many writes within this time are a fight: somebody undoes each. It is over when none was needed for as long. */
const WINDOW_MS = 60_000;
const MAX_WRITES = 10;
/** How often we still write during one: often enough to win in the end, not so often as to burden the node. */
const THROTTLED_MS = 10_000;

/** Tells a fight over the CNI configuration from its ordinary changes. */
export class RewriteStorm {
  private writes: readonly number[] = [];
  private neededMs = 0;
  private isOn = false;

  /** Whether a write that is needed now is to be made. `begins`: it is the one that makes a storm of them. */
  decide(nowMs: number): 'write' | 'begins' | 'throttled' {
    if (nowMs - this.neededMs > WINDOW_MS) this.isOn = false;
    this.neededMs = nowMs;
    if (this.isOn && nowMs - (this.writes.at(-1) ?? 0) < THROTTLED_MS) return 'throttled';
    this.writes = [...this.writes.filter((at) => at > nowMs - WINDOW_MS), nowMs];
    if (this.isOn || this.writes.length < MAX_WRITES) return 'write';
    this.isOn = true;
    return 'begins';
  }
}
