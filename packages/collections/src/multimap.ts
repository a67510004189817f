const none: readonly string[] = [];

/**
 * Key to set of strings. Most sets hold one member (a pod's IP, a pod's unique label), and a `Set` costs two
 * hundred bytes, so a single member is stored bare.
 */
export class Multimap {
  private readonly sets = new Map<string, string | Set<string>>();

  add(key: string, member: string): void {
    const held = this.sets.get(key);
    if (held === undefined) this.sets.set(key, member);
    else if (typeof held !== 'string') held.add(member);
    else if (held !== member) this.sets.set(key, new Set([held, member]));
  }

  delete(key: string, member: string): void {
    const held = this.sets.get(key);
    if (held === undefined) return;
    if (typeof held === 'string') {
      if (held === member) this.sets.delete(key);
    } else if (held.delete(member) && held.size === 0) {
      this.sets.delete(key);
    }
  }

  /** Members in no particular order. */
  get(key: string): Iterable<string> {
    const held = this.sets.get(key);
    if (held === undefined) return none;
    return typeof held === 'string' ? [held] : held;
  }

  keys(): Iterable<string> {
    return this.sets.keys();
  }

  get size(): number {
    return this.sets.size;
  }
}
