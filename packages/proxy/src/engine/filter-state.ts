/** How far an object travels: not at all, to the upstream connection, or to every internal hop after it. */
export type FilterStateSharing = 'none' | 'once' | 'transitive';

export type FilterStateValue = string | object;

interface Entry {
  readonly value: FilterStateValue;
  readonly sharing: FilterStateSharing;
  readonly readOnly: boolean;
}

/**
 * Named objects of a connection or, with the connection's as parent, of a request: how filters talk to each other,
 * to the upstream cluster and across internal listeners. Set once or often; a read-only entry is never replaced.
 */
export class FilterState {
  private readonly entries = new Map<string, Entry>();
  private readonly parent: FilterState | undefined;

  constructor(parent?: FilterState) {
    this.parent = parent;
  }

  get(key: string): FilterStateValue | undefined {
    return this.entry(key)?.value;
  }

  /** The value as text: strings themselves, objects by their `toString`. */
  text(key: string): string | undefined {
    const value: { toString(): string } | undefined = this.get(key);
    return value?.toString();
  }

  has(key: string): boolean {
    return this.entry(key) !== undefined;
  }

  /** False when a read-only value stands there already. */
  set(
    key: string,
    value: FilterStateValue,
    o: { readonly sharedWithUpstream?: FilterStateSharing; readonly readOnly?: boolean } = {},
  ): boolean {
    if (this.entry(key)?.readOnly === true) return false;
    this.entries.set(key, { value, sharing: o.sharedWithUpstream ?? 'none', readOnly: o.readOnly ?? false });
    return true;
  }

  delete(key: string): void {
    this.entries.delete(key);
  }

  /** What an internal connection opened on behalf of this one begins with: 'once' arrives as 'none'. */
  sharedWithUpstream(): FilterState {
    const shared = new FilterState();
    for (const [key, { value, sharing, readOnly }] of this.all()) {
      if (sharing === 'none') continue;
      shared.entries.set(key, { value, readOnly, sharing: sharing === 'transitive' ? 'transitive' : 'none' });
    }
    return shared;
  }

  /** Identifies the shared part: connections with different keys must not share a pool (Envoy splits pools so). */
  sharedKey(): string {
    const parts: string[] = [];
    for (const [key, { value, sharing }] of this.all()) {
      if (sharing !== 'none')
        parts.push(`${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
    }
    return parts.sort().join('\n');
  }

  *keys(): IterableIterator<string> {
    for (const [key] of this.all()) yield key;
  }

  private entry(key: string): Entry | undefined {
    return this.entries.get(key) ?? this.parent?.entry(key);
  }

  private *all(): IterableIterator<[string, Entry]> {
    if (this.parent !== undefined) {
      for (const pair of this.parent.all()) if (!this.entries.has(pair[0])) yield pair;
    }
    yield* this.entries;
  }
}
