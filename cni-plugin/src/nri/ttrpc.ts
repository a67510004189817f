import { ttrpc } from '@weft/api/nri';
import { WeftError, describeError } from '@weft/telemetry';
import { FrameReader, type FrameFormat } from './frames.ts';

/** Length and stream, 32 bits each, type and flags, 8 bits each. */
export const TTRPC_FORMAT: FrameFormat = {
  name: 'ttrpc',
  headerBytes: 10,
  lengthOffset: 0,
  maxPayloadBytes: 4 * 1024 * 1024,
};
const MessageType = { request: 1, response: 2 } as const;
/** Of gRPC. */
const StatusCode = { unknown: 2, unimplemented: 12 } as const;
/** What a status says of an error: one that explains itself at length needn't fill the runtime's log. */
const MAX_STATUS_CHARS = 2_048;

/** Answers one method: bytes of its request to bytes of its response. What it throws is the caller's error. */
export type Method = (request: Uint8Array) => Promise<Uint8Array>;

export interface TtrpcOptions {
  readonly write: (bytes: Buffer) => void;
}

/** The answering side of a connection; calls may overlap. */
export class TtrpcServer {
  private readonly reader = new FrameReader(TTRPC_FORMAT);
  private readonly methods: ReadonlyMap<string, Method>;
  private readonly write: (bytes: Buffer) => void;

  /** Methods by `package.Service/Method`. */
  constructor(methods: ReadonlyMap<string, Method>, o: TtrpcOptions) {
    this.methods = methods;
    this.write = o.write;
  }

  /** Throws WEFT1712 for what is not ttrpc. */
  receive(bytes: Buffer): void {
    for (const { header, payload } of this.reader.push(bytes)) {
      if (header[8] !== MessageType.request)
        throw new WeftError('WEFT1712', `message of type ${header[8]} from a client of ttrpc`);
      const request = decode(() => ttrpc.Request.decode(payload));
      void this.answer(header.readUInt32BE(4), request);
    }
  }

  private async answer(stream: number, { service, method, payload }: ttrpc.Request): Promise<void> {
    const found = this.methods.get(`${service}/${method}`);
    let response: ttrpc.Response.$Properties;
    if (found === undefined) {
      response = failed(StatusCode.unimplemented, `${service}/${method} is not implemented`);
    } else {
      try {
        response = { payload: await found(payload) };
      } catch (error) {
        response = failed(StatusCode.unknown, describeError(error));
      }
    }
    this.write(message(stream, MessageType.response, ttrpc.Response.encode(response).finish()));
  }
}

/** The calling side of a connection. */
export class TtrpcClient {
  private readonly reader = new FrameReader(TTRPC_FORMAT);
  private readonly write: (bytes: Buffer) => void;
  private readonly calls = new Map<number, (response: ttrpc.Response) => void>();
  private nextStream = 1;

  constructor(o: TtrpcOptions) {
    this.write = o.write;
  }

  /** Throws WEFT1712 with the status that the server gave. Waits for as long as the signal lets it. */
  async call(service: string, method: string, payload: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const stream = this.nextStream;
    this.nextStream += 2; // streams of clients are odd
    const request = { service, method, payload };
    try {
      const response = await new Promise<ttrpc.Response>((resolve, reject) => {
        const giveUp = (): void =>
          reject(new WeftError('WEFT1712', `${method} was not answered`, { cause: signal.reason }));
        if (signal.aborted) return giveUp();
        signal.addEventListener('abort', giveUp, { once: true });
        this.calls.set(stream, (found) => {
          signal.removeEventListener('abort', giveUp);
          resolve(found);
        });
        this.write(message(stream, MessageType.request, ttrpc.Request.encode(request).finish()));
      });
      const { code = 0, message: text = '' } = response.status ?? {};
      if (code !== 0 && code !== null) throw new WeftError('WEFT1712', `${method}: ${text} (status ${code})`);
      return response.payload;
    } finally {
      this.calls.delete(stream);
    }
  }

  /** Throws WEFT1712 for what is not ttrpc. */
  receive(bytes: Buffer): void {
    for (const { header, payload } of this.reader.push(bytes)) {
      if (header[8] !== MessageType.response)
        throw new WeftError('WEFT1712', `message of type ${header[8]} from a server of ttrpc`);
      const response = decode(() => ttrpc.Response.decode(payload));
      this.calls.get(header.readUInt32BE(4))?.(response); // else the call was given up
    }
  }
}

function message(stream: number, type: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(TTRPC_FORMAT.headerBytes);
  header.writeUInt32BE(payload.length, TTRPC_FORMAT.lengthOffset);
  header.writeUInt32BE(stream, 4);
  header.writeUInt8(type, 8);
  return Buffer.concat([header, payload]);
}

function failed(code: number, text: string): ttrpc.Response.$Properties {
  return { status: { code, message: text.slice(0, MAX_STATUS_CHARS) } };
}

function decode<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new WeftError('WEFT1712', 'message of ttrpc can not be decoded', { cause: error });
  }
}
