import { DynamicTable, ENTRY_OVERHEAD_BYTES } from './dynamic-table.ts';
import type { FlatFields } from './decoder.ts';
import { huffmanEncode, huffmanLength } from './huffman.ts';
import { writeInteger } from './integer.ts';
import { staticFieldIndex, staticNameIndex, staticTable } from './static-table.ts';

/** Values that differ on every tunnel would only push the useful entries out of the table. */
const unindexedNames: ReadonlySet<string> = new Set([
  ':authority',
  ':path',
  'traceparent',
  'forwarded',
  'content-length',
]);
/** RFC 7541 §7.1.3: secrets must not be indexed by any hop. */
const neverIndexedNames: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'cookie']);

const STATIC_ENTRIES = staticTable.length - 1;
/** Prefix integers of one field: two lengths and an index, at most 5 octets each. */
const FIELD_PREFIX_BYTES = 15;

/** RFC 7541 encoder with one reused output buffer. */
export class HpackEncoder {
  private readonly numbers = new Map<string, number>();
  private readonly table: DynamicTable;
  private readonly ownLimit: number;
  /** Sizes to announce at the start of the next block (RFC 7541 §4.2). */
  private smallestPendingSize: number | undefined;
  private buffer = Buffer.allocUnsafeSlow(512);

  /** `ownLimit` bounds the memory of this side whatever the peer allows. */
  constructor(ownLimit: number) {
    this.ownLimit = ownLimit;
    this.table = new DynamicTable(ownLimit, (entry, number) => {
      const key = `${entry.name}\0${entry.value}`;
      if (this.numbers.get(key) === number) this.numbers.delete(key);
    });
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setPeerLimit(bytes: number): void {
    const size = Math.min(bytes, this.ownLimit);
    if (size === this.table.maxSize) return;
    this.smallestPendingSize = Math.min(size, this.smallestPendingSize ?? size);
    this.table.resize(size);
  }

  /** Encodes a header list. The result is valid until the next call. */
  encode(fields: FlatFields): Buffer {
    let needed = 2 * FIELD_PREFIX_BYTES;
    for (const text of fields) needed += text.length + FIELD_PREFIX_BYTES;
    if (this.buffer.length < needed) this.buffer = Buffer.allocUnsafeSlow(needed * 2);
    let offset = this.writeSizeUpdates(0);
    for (let i = 0; i + 1 < fields.length; i += 2)
      offset = this.writeField(offset, fields[i] ?? '', fields[i + 1] ?? '');
    return this.buffer.subarray(0, offset);
  }

  private writeSizeUpdates(offset: number): number {
    const smallest = this.smallestPendingSize;
    if (smallest === undefined) return offset;
    this.smallestPendingSize = undefined;
    if (smallest < this.table.maxSize) offset = writeInteger(this.buffer, offset, 0x20, 5, smallest);
    return writeInteger(this.buffer, offset, 0x20, 5, this.table.maxSize);
  }

  private writeField(offset: number, name: string, value: string): number {
    const key = `${name}\0${value}`;
    const index = staticFieldIndex.get(key) ?? this.dynamicIndex(key);
    if (index !== undefined) return writeInteger(this.buffer, offset, 0x80, 7, index);

    const nameIndex = staticNameIndex.get(name) ?? 0;
    const size = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (neverIndexedNames.has(name)) offset = writeInteger(this.buffer, offset, 0x10, 4, nameIndex);
    else if (unindexedNames.has(name) || size * 2 > this.table.maxSize) {
      offset = writeInteger(this.buffer, offset, 0x00, 4, nameIndex);
    } else {
      offset = writeInteger(this.buffer, offset, 0x40, 6, nameIndex);
      const number = this.table.insert(name, value);
      if (number !== undefined) this.numbers.set(key, number);
    }
    if (nameIndex === 0) offset = this.writeString(offset, name);
    return this.writeString(offset, value);
  }

  private dynamicIndex(key: string): number | undefined {
    const number = this.numbers.get(key);
    return number === undefined ? undefined : STATIC_ENTRIES + this.table.inserted - number;
  }

  private writeString(offset: number, text: string): number {
    const coded = huffmanLength(text);
    if (coded < text.length) {
      return huffmanEncode(text, this.buffer, writeInteger(this.buffer, offset, 0x80, 7, coded));
    }
    offset = writeInteger(this.buffer, offset, 0, 7, text.length);
    return offset + this.buffer.write(text, offset, 'latin1');
  }
}
