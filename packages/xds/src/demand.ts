/** Names asked for on demand that are remembered; of those beyond, the ones that turned out to be nothing are given up. */
export const MAX_DEMANDED_NAMES = 20_000;

interface Wanted {
  state: 'asked' | 'present' | 'absent';
  readonly answered: Promise<void>;
  readonly settle: () => void;
}

export interface DemandListener {
  subscribe(name: string): void;
  unsubscribe(name: string): void;
}

/**
 * Resources of one type that are asked for when they are first needed, and followed from then on. Nothing is asked
 * twice: what doesn't exist is followed too, and arrives when it comes to exist.
 */
export class Demand {
  /** Longest unneeded first. */
  private readonly names = new Map<string, Wanted>();
  private listener: DemandListener | undefined;

  /** Resolves when the control plane has said what there is, or that there is nothing. */
  ask(name: string): Promise<void> {
    const known = this.names.get(name);
    if (known !== undefined) {
      this.names.delete(name);
      this.names.set(name, known);
      return known.answered;
    }
    let settle = (): void => undefined;
    const answered = new Promise<void>((resolve) => (settle = resolve));
    this.names.set(name, { state: 'asked', answered, settle });
    this.listener?.subscribe(name);
    if (this.names.size > MAX_DEMANDED_NAMES) this.giveUpOldest();
    return answered;
  }

  list(): Iterable<string> {
    return this.names.keys();
  }

  /** Of each resource that came (by its name and its aliases) or that there is none of. */
  told(name: string, state: 'present' | 'absent'): void {
    const wanted = this.names.get(name);
    if (wanted === undefined) return;
    wanted.state = state;
    wanted.settle();
  }

  /** Whoever keeps the stream. */
  watch(listener: DemandListener | undefined): void {
    this.listener = listener;
  }

  /** What there is stays, as the mesh bounds it; what there is not may be any address that somebody tries. */
  private giveUpOldest(): void {
    for (const [name, { state }] of this.names) {
      if (state !== 'absent') continue;
      this.names.delete(name);
      this.listener?.unsubscribe(name);
      return;
    }
  }
}
