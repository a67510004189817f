import { Collection, type Equality } from './collection.ts';

/** Where facts enter. Writes are collected, the last one for a key wins, and take effect in the next tick. */
export class SourceCollection<V> extends Collection<V> {
  private pending = new Map<string, V | undefined>();
  private readonly wake: () => void;

  constructor(name: string, equal: Equality<V>, wake: () => void) {
    super(name, equal);
    this.wake = wake;
  }

  set(key: string, value: V): void {
    this.pending.set(key, value);
    this.wake();
  }

  delete(key: string): void {
    this.pending.set(key, undefined);
    this.wake();
  }

  /** All that was set and not deleted, whether or not it took effect yet. Not while a tick is computed. */
  *written(): Generator<readonly [string, V]> {
    for (const [key, value] of this.entries()) if (!this.pending.has(key)) yield [key, value];
    for (const [key, value] of this.pending) if (value !== undefined) yield [key, value];
  }

  /** @internal */
  get hasPending(): boolean {
    return this.pending.size > 0;
  }

  /** @internal */
  stagePending(): void {
    if (this.pending.size === 0) return;
    const pending = this.pending;
    this.pending = new Map();
    for (const [key, value] of pending) this.stage(key, value);
  }
}
