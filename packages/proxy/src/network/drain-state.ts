import type { DrainSignal } from '../engine/types.ts';

/** A drain that somebody starts, once. */
export class DrainState implements DrainSignal {
  private isDraining = false;
  private readonly tasks = new Set<() => void>();

  get draining(): boolean {
    return this.isDraining;
  }

  onDrain(task: () => void): () => void {
    if (this.isDraining) {
      task();
      return () => undefined;
    }
    const entry = (): void => task();
    this.tasks.add(entry);
    return () => void this.tasks.delete(entry);
  }

  start(): void {
    if (this.isDraining) return;
    this.isDraining = true;
    for (const task of this.tasks) task();
    this.tasks.clear();
  }
}
