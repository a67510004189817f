import { ErrorCode } from '../constants.ts';
import { Http2ConnectionError } from '../protocol-error.ts';
import { DynamicTable, ENTRY_OVERHEAD_BYTES } from './dynamic-table.ts';
import { huffmanDecode } from './huffman.ts';
import { BlockCursor } from './integer.ts';
import { staticTable } from './static-table.ts';

/** Names and values alternating, in order of the wire. Strings are latin1. */
export type FlatFields = readonly string[];

export interface HeaderLimits {
  /** RFC 9113 §6.5.2 MAX_HEADER_LIST_SIZE: octets of names and values plus 32 a field. */
  readonly maxListBytes: number;
  readonly maxFields: number;
}

export type DecodedBlock =
  | { readonly kind: 'fields'; readonly fields: FlatFields }
  /** The block was over a limit. It was decoded to its end, so the table is still in step with the peer. */
  | { readonly kind: 'too-large' };

const TOO_LARGE: DecodedBlock = { kind: 'too-large' };
const STATIC_ENTRIES = staticTable.length - 1;

/** RFC 7541 decoder. Every error is COMPRESSION_ERROR on the connection, as RFC 9113 §4.3 asks. */
export class HpackDecoder {
  private readonly table: DynamicTable;
  private readonly tableLimit: number;
  private readonly limits: HeaderLimits;
  private readonly cursor = new BlockCursor();

  /** `tableLimit` is our SETTINGS_HEADER_TABLE_SIZE. */
  constructor(tableLimit: number, limits: HeaderLimits) {
    this.table = new DynamicTable(tableLimit);
    this.tableLimit = tableLimit;
    this.limits = limits;
  }

  /** Decodes one complete header block; nothing of `block` is kept. */
  decode(block: Buffer): DecodedBlock {
    const cursor = this.cursor;
    cursor.reset(block);
    const fields: string[] = [];
    let listBytes = 0;
    let count = 0;
    let sizeUpdates = 0;
    while (!cursor.done) {
      const first = cursor.octet();
      let name: string;
      let value: string;
      if (first & 0x80) {
        const index = cursor.integer(first, 7);
        [name, value] = this.indexed(index);
      } else if ((first & 0xe0) === 0x20) {
        // RFC 7541 §4.2: only at the start of a block, and at most two (the smallest value, then the final one).
        if (count > 0 || ++sizeUpdates > 2) throw compressionError('misplaced table size update');
        const size = cursor.integer(first, 5);
        if (size > this.tableLimit) throw compressionError('table size update above the limit');
        this.table.resize(size);
        continue;
      } else {
        const incremental = (first & 0x40) !== 0;
        const nameIndex = cursor.integer(first, incremental ? 6 : 4);
        name = nameIndex === 0 ? this.string() : this.indexed(nameIndex)[0];
        value = this.string();
        if (incremental) this.table.insert(name, value);
      }
      count++;
      listBytes += name.length + value.length + ENTRY_OVERHEAD_BYTES;
      // Decoding goes on for the table's sake, storing goes no further.
      if (listBytes <= this.limits.maxListBytes && count <= this.limits.maxFields) fields.push(name, value);
    }
    cursor.reset(EMPTY);
    if (listBytes > this.limits.maxListBytes || count > this.limits.maxFields) return TOO_LARGE;
    return { kind: 'fields', fields };
  }

  private indexed(index: number): readonly [string, string] {
    if (index === 0) throw compressionError('index 0');
    if (index <= STATIC_ENTRIES) return staticTable[index] ?? ['', ''];
    const entry = this.table.at(index - STATIC_ENTRIES - 1);
    if (entry === undefined) throw compressionError('index beyond the tables');
    return [entry.name, entry.value];
  }

  private string(): string {
    const cursor = this.cursor;
    const first = cursor.octet();
    const length = cursor.integer(first, 7);
    const start = cursor.offset;
    const end = start + length;
    if (end > cursor.bytes.length) throw compressionError('string beyond the block');
    cursor.offset = end;
    return (first & 0x80) !== 0
      ? huffmanDecode(cursor.bytes, start, end)
      : cursor.bytes.toString('latin1', start, end);
  }
}

const EMPTY = Buffer.alloc(0);

function compressionError(reason: string): Http2ConnectionError {
  return new Http2ConnectionError(ErrorCode.COMPRESSION_ERROR, reason);
}
