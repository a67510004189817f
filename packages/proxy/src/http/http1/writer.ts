import { STATUS_CODES } from 'node:http';
import type { ByteStream, HeaderMap } from '../../engine/types.ts';

/** Buffers that are joined to one write: fewer packets and TLS records than copying costs. */
const JOIN_BELOW_BYTES = 64 * 1024;
const CRLF = Buffer.from('\r\n', 'latin1');
const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1');

/** How the body that is sent is delimited. */
export type SendFraming =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; left: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' };

/** Writes messages to a byte stream. What one turn of the event loop produces leaves in one write. */
export class Http1Writer {
  private readonly transport: ByteStream;
  private readonly limitBytes: number;
  private pending: Buffer[] = [];
  private pendingBytes = 0;
  private flushScheduled = false;
  private full = false;
  private wanted = false;
  /** Called when `hasRoom` becomes true after it was asked and false. */
  onRoom: () => void = () => undefined;

  constructor(transport: ByteStream, limitBytes: number) {
    this.transport = transport;
    this.limitBytes = limitBytes;
  }

  get bufferedBytes(): number {
    return this.pendingBytes + this.transport.writableLength;
  }

  get hasRoom(): boolean {
    const room = !this.full && this.pendingBytes < this.limitBytes;
    if (!room) this.wanted = true;
    return room;
  }

  /** @param extra the codec's own lines; `host` of a request comes before all others. */
  head(startLine: string, headers: HeaderMap, extra: string, properCase: boolean, host?: string): void {
    const { flat } = headers;
    const spell = speller(headers, properCase);
    let text = `${startLine}\r\n`;
    if (host !== undefined) text += `${spell?.('host') ?? 'host'}: ${host}\r\n`;
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const name = flat[i] ?? '';
      if (connectionFields.has(name)) continue;
      text += `${spell === undefined ? name : spell(name)}: ${safeValue(flat[i + 1] ?? '')}\r\n`;
    }
    const own = spell === undefined ? extra : extra.replace(/^[a-z-]+(?=:)/gm, spell);
    this.push(Buffer.from(`${text}${own}\r\n`, 'latin1'));
  }

  body(chunk: Buffer, framing: SendFraming): void {
    if (chunk.length === 0) return;
    if (framing.kind === 'chunked') {
      this.push(Buffer.from(`${chunk.length.toString(16)}\r\n`, 'latin1'));
      this.push(chunk);
      this.push(CRLF);
    } else this.push(chunk);
  }

  lastChunk(trailers?: HeaderMap): void {
    if (trailers === undefined || trailers.size === 0) {
      this.push(LAST_CHUNK);
      return;
    }
    let text = '0\r\n';
    for (const [name, value] of trailers) {
      if (!forbiddenTrailers.has(name)) text += `${name}: ${safeValue(value)}\r\n`;
    }
    this.push(Buffer.from(`${text}\r\n`, 'latin1'));
  }

  /** The transport has room again. */
  drained(): void {
    this.full = false;
    if (this.wanted && this.pendingBytes === 0) {
      this.wanted = false;
      this.onRoom();
    }
  }

  flush(): void {
    this.flushScheduled = false;
    const { pending } = this;
    if (pending.length === 0) return;
    const bytes = this.pendingBytes;
    this.pending = [];
    this.pendingBytes = 0;
    let room = true;
    if (pending.length === 1 || bytes > JOIN_BELOW_BYTES) {
      for (const buffer of pending) room = this.transport.write(buffer);
    } else room = this.transport.write(Buffer.concat(pending, bytes));
    this.full = !room;
    if (room && this.wanted) this.drained();
  }

  private push(buffer: Buffer): void {
    this.pending.push(buffer);
    this.pendingBytes += buffer.length;
    if (this.flushScheduled) return;
    this.flushScheduled = true;
    queueMicrotask(() => this.flush());
  }
}

/** The codec's own business, or `host`, which it writes itself. */
const connectionFields: ReadonlySet<string> = new Set([
  'connection',
  'host',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/** RFC 9110 §6.5.1: fields for framing, routing and access control don't belong there. */
export const forbiddenTrailers: ReadonlySet<string> = new Set([
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

// oxlint-disable-next-line no-control-regex -- what would end a line early
const breaking = /[\0\r\n]/;

/** A filter may have built a value from anything; it must not become two lines. */
export function safeValue(value: string): string {
  return breaking.test(value) ? value.replace(/[\0\r\n]+/g, ' ') : value;
}

export function statusText(status: number): string {
  return STATUS_CODES[status] ?? 'Unknown';
}

/** Spelling that came with the headers goes before what the codec would do. Undefined: as they are. */
function speller({ spelling }: HeaderMap, properCase: boolean): ((name: string) => string) | undefined {
  if (spelling !== undefined) return (name) => spelling.get(name) ?? name;
  return properCase ? toProperCase : undefined;
}

function toProperCase(name: string): string {
  return name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase());
}
