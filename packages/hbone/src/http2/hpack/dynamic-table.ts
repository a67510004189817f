/** RFC 7541 §4.1: what an entry counts beside its octets. */
export const ENTRY_OVERHEAD_BYTES = 32;

export interface TableEntry {
  readonly name: string;
  readonly value: string;
  readonly size: number;
}

/**
 * The dynamic table of RFC 7541 §2.3.2: first in, first out, bounded by bytes. Entries carry an absolute number
 * (`inserted` at their time), so that an encoder's index survives later insertions.
 */
export class DynamicTable {
  private entries: TableEntry[] = [];
  /** Entries before this position in `entries` are evicted; compacted now and then, so that eviction is O(1). */
  private first = 0;
  private readonly onEvict: ((entry: TableEntry, number: number) => void) | undefined;
  private bytes = 0;
  private capacity: number;
  /** How many entries were ever inserted. */
  inserted = 0;

  constructor(capacity: number, onEvict?: (entry: TableEntry, number: number) => void) {
    this.capacity = capacity;
    this.onEvict = onEvict;
  }

  get count(): number {
    return this.entries.length - this.first;
  }

  get size(): number {
    return this.bytes;
  }

  get maxSize(): number {
    return this.capacity;
  }

  /** The entry at HPACK's dynamic position; 0 is the newest. */
  at(position: number): TableEntry | undefined {
    return position < this.count ? this.entries[this.entries.length - 1 - position] : undefined;
  }

  resize(capacity: number): void {
    this.capacity = capacity;
    this.evictTo(capacity);
  }

  /** Inserts an entry; one that is larger than the table empties it (RFC 7541 §4.4). Returns its number, if kept. */
  insert(name: string, value: string): number | undefined {
    const size = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (size > this.capacity) {
      this.evictTo(0);
      return undefined;
    }
    this.evictTo(this.capacity - size);
    this.entries.push({ name, value, size });
    this.bytes += size;
    return this.inserted++;
  }

  private evictTo(bytes: number): void {
    while (this.bytes > bytes) {
      const entry = this.entries[this.first];
      if (entry === undefined) break;
      this.onEvict?.(entry, this.inserted - this.count);
      this.first++;
      this.bytes -= entry.size;
    }
    if (this.first > 64 && this.first * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.first);
      this.first = 0;
    }
  }
}
