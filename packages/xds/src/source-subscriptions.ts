import type { ResourceChange, ResourceSource, ServedType } from './resource-source.ts';

/** One subscription to each source that any client uses, however many do. */
export class SourceSubscriptions {
  private readonly onChange: (source: ResourceSource, change: ResourceChange) => void;
  private readonly users = new Map<ResourceSource, { count: number; unsubscribe: () => void }>();

  constructor(onChange: (source: ResourceSource, change: ResourceChange) => void) {
    this.onChange = onChange;
  }

  /** Returns what ends the use; calling it again does nothing. */
  use(types: readonly ServedType[]): () => void {
    for (const { source } of types) {
      const user = this.users.get(source);
      if (user !== undefined) user.count++;
      else {
        const unsubscribe = source.subscribe((change) => this.onChange(source, change));
        this.users.set(source, { count: 1, unsubscribe });
      }
    }
    let used = types;
    return () => {
      const ended = used;
      used = [];
      for (const { source } of ended) this.leave(source);
    };
  }

  close(): void {
    for (const { unsubscribe } of this.users.values()) unsubscribe();
    this.users.clear();
  }

  private leave(source: ResourceSource): void {
    const user = this.users.get(source);
    if (user === undefined || --user.count > 0) return;
    user.unsubscribe();
    this.users.delete(source);
  }
}
