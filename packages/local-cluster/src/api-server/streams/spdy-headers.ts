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
  private readonly inflated: Output;
  private readonly deflated: Output;

  constructor() {
    const dictionary = spdyDictionary();
    this.inflate = createInflate({ dictionary, flush: constants.Z_SYNC_FLUSH });
    this.deflate = createDeflate({ dictionary });
    this.inflated = new Output(this.inflate);
    this.deflated = new Output(this.deflate);
  }

  async decode(block: Buffer): Promise<ReadonlyMap<string, string>> {
    if (block.length > MAX_HEADER_BYTES) throw new Error('SPDY header block is too large');
    return parseBlock(await this.inflated.after((done) => this.inflate.write(block, done)));
  }

  encode(headers: ReadonlyMap<string, string>): Promise<Buffer> {
    this.deflate.write(formatBlock(headers));
    return this.deflated.after((done) => this.deflate.flush(constants.Z_SYNC_FLUSH, done));
  }

  close(): void {
    this.inflate.destroy();
    this.deflate.destroy();
  }
}

/** What a zlib stream has put out since it was last asked; bounded, as a small block may inflate to a huge one. */
class Output {
  private chunks: Buffer[] = [];
  private size = 0;
  private failure: Error | undefined;

  constructor(stream: Inflate | Deflate) {
    stream.on('data', (chunk: Buffer) => {
      this.size += chunk.length;
      if (this.size <= MAX_HEADER_BYTES) this.chunks.push(chunk);
      else stream.destroy();
    });
    stream.on('error', (error) => {
      this.failure = error;
    });
  }

  async after(work: (done: () => void) => void): Promise<Buffer> {
    await new Promise<void>((resolve) => work(resolve));
    if (this.failure !== undefined) throw this.failure;
    if (this.size > MAX_HEADER_BYTES) throw new Error('SPDY header block is too large');
    const bytes = Buffer.concat(this.chunks);
    this.chunks = [];
    this.size = 0;
    return bytes;
  }
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
