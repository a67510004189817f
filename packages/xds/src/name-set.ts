/** The names that are wanted of one on-demand type; who keeps the stream watches it. */
export class NameSet {
  private names: ReadonlySet<string> = new Set();
  private listener: (() => void) | undefined;

  set(names: Iterable<string>): void {
    this.names = new Set(names);
    this.listener?.();
  }

  has(name: string): boolean {
    return this.names.has(name);
  }

  list(): Iterable<string> {
    return this.names;
  }

  watch(listener: () => void): void {
    this.listener = listener;
  }
}
