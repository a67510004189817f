export type ClientHello =
  | { readonly kind: 'hello'; readonly serverName?: string; readonly protocols: readonly string[] }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'not-tls' };

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME_EXTENSION = 0;
const ALPN_EXTENSION = 16;
/** RFC 8446 §5.1: the largest plaintext of one record. */
const MAX_RECORD_BYTES = 16_384;

/**
 * Reads SNI and ALPN from the first bytes of a TLS connection (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301 §3.1). The
 * message may be split over several records.
 */
export function readClientHello(bytes: Buffer): ClientHello {
  const handshake: Buffer[] = [];
  let gathered = 0;
  let wanted = 4;
  for (let at = 0; gathered < wanted; ) {
    const record = bytes.subarray(at);
    if (record.length > 0 && record[0] !== HANDSHAKE_RECORD) return { kind: 'not-tls' };
    if (record.length > 1 && record[1] !== 3) return { kind: 'not-tls' };
    if (record.length < 5) return { kind: 'incomplete' };
    const length = record.readUInt16BE(3);
    if (length === 0 || length > MAX_RECORD_BYTES) return { kind: 'not-tls' };
    const fragment = record.subarray(5, 5 + length);
    if (gathered === 0 && fragment.length > 0 && fragment[0] !== CLIENT_HELLO) return { kind: 'not-tls' };
    handshake.push(fragment);
    gathered += fragment.length;
    if (gathered >= 4) wanted = 4 + Buffer.concat(handshake).readUIntBE(1, 3);
    if (gathered < wanted && fragment.length < length) return { kind: 'incomplete' };
    at += 5 + length;
  }
  return parseHello(new Reader(Buffer.concat(handshake).subarray(4, wanted)));
}

function parseHello(hello: Reader): ClientHello {
  try {
    hello.skip(2 + 32);
    hello.vector(1);
    hello.vector(2);
    hello.vector(1);
    let serverName: string | undefined;
    const protocols: string[] = [];
    const extensions = hello.empty ? hello : hello.vector(2);
    while (!extensions.empty) {
      const type = extensions.number(2);
      const body = extensions.vector(2);
      if (type === SERVER_NAME_EXTENSION && !body.empty) {
        const names = body.vector(2);
        while (!names.empty) {
          const kind = names.number(1);
          const name = names.vector(2);
          if (kind === 0) serverName ??= name.rest().toString('latin1').toLowerCase();
        }
      } else if (type === ALPN_EXTENSION) {
        const list = body.vector(2);
        while (!list.empty) protocols.push(list.vector(1).rest().toString('latin1'));
      }
    }
    return { kind: 'hello', ...(serverName === undefined ? {} : { serverName }), protocols };
  } catch (error) {
    if (error instanceof RangeError) return { kind: 'not-tls' };
    throw error;
  }
}

/** Reads TLS presentation language; throws RangeError beyond the end. */
class Reader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get empty(): boolean {
    return this.at >= this.bytes.length;
  }

  number(size: number): number {
    const value = this.bytes.readUIntBE(this.at, size);
    this.at += size;
    return value;
  }

  skip(size: number): void {
    if (this.at + size > this.bytes.length) throw new RangeError('truncated');
    this.at += size;
  }

  vector(lengthSize: number): Reader {
    const length = this.number(lengthSize);
    const start = this.at;
    this.skip(length);
    return new Reader(this.bytes.subarray(start, this.at));
  }

  rest(): Buffer {
    return this.bytes.subarray(this.at);
  }
}
