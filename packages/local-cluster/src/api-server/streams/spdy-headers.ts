import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib';
import { spdyDictionary } from './spdy-dictionary.ts';

/** Header blocks of exec and port-forward are a few hundred bytes. */
const MAX_HEADER_BYTES = 64 * 1024;

/**
 * Header blocks of one SPDY/3.1 connection. Each direction is a single zlib stream, so blocks have to be coded in
 * the order of their frames: callers await one before the next.
 */
export class SpdyHeaders {
  private readonly inflate: Inflate;
  private readonly deflate: Deflate;

  constructor() {
    const dictionary = spdyDictionary();
    this.inflate = createInflate({ dictionary, flush: constants.Z_SYNC_FLUSH });
    this.deflate = createDeflate({ dictionary });
    // Errors arrive at the callbacks of write; an unhandled event would end the process.
    this.inflate.on('error', () => undefined);
    this.deflate.on('error', () => undefined);
  }

  async decode(block: Buffer): Promise<ReadonlyMap<string, string>> {
    if (block.length > MAX_HEADER_BYTES) throw new Error('SPDY header block is too large');
    await new Promise<void>((resolve, reject) => {
      this.inflate.once('error', reject);
      this.inflate.write(block, () => {
        this.inflate.off('error', reject);
        resolve();
      });
    });
    return parseBlock(readAll(this.inflate));
  }

  async encode(headers: ReadonlyMap<string, string>): Promise<Buffer> {
    this.deflate.write(formatBlock(headers));
    await new Promise<void>((resolve) => this.deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    return readAll(this.deflate);
  }

  close(): void {
    this.inflate.close();
    this.deflate.close();
  }
}

function readAll(stream: Inflate | Deflate): Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  for (let chunk: Buffer | null; (chunk = stream.read() as Buffer | null) !== null; ) {
    // zlib streams read Buffers
    size += chunk.length;
    if (size > MAX_HEADER_BYTES) throw new Error('SPDY header block is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parseBlock(block: Buffer): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  let offset = 4;
  const text = (): string => {
    const length = block.readUInt32BE(offset);
    const start = offset + 4;
    offset = start + length;
    if (offset > block.length) throw new Error('SPDY header block is cut short');
    return block.toString('utf8', start, offset);
  };
  for (let count = block.readUInt32BE(0); count > 0; count--) {
    const name = text().toLowerCase();
    headers.set(name, text());
  }
  return headers;
}

function formatBlock(headers: ReadonlyMap<string, string>): Buffer {
  const parts = [uint32(headers.size)];
  for (const [name, value] of headers) {
    for (const text of [name, value]) {
      const bytes = Buffer.from(text);
      parts.push(uint32(bytes.length), bytes);
    }
  }
  return Buffer.concat(parts);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
