import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

/**
 * The runtime's end of NRI, written from its documents and not with the code that it tests: bytes are laid out and
 * read here by hand.
 */
export class FakeNriRuntime {
  readonly registrations: { readonly name: string; readonly index: string }[] = [];
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly answers = new Map<number, (response: Uint8Array) => void>();
  private readonly connections: Socket[] = [];
  private wake = (): void => undefined;
  private stream = -1;

  private constructor(server: Server) {
    this.server = server;
  }

  static async listen(path: string): Promise<FakeNriRuntime> {
    const server = createServer();
    const runtime = new FakeNriRuntime(server);
    server.on('connection', (socket) => runtime.accept(socket));
    server.listen(path);
    await once(server, 'listening');
    return runtime;
  }

  /** Waits for a plugin to connect and register; then configures and synchronizes it, in two parts. */
  async takePlugin(requestTimeoutMs = 2_000): Promise<{ events: number; failurePolicy: readonly number[] }> {
    while (this.registrations.length === 0)
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    const configured = await this.call(
      'Configure',
      concat(
        text(2, 'containerd'),
        text(3, 'v2.2.0'),
        varintField(4, 5_000),
        varintField(5, requestTimeoutMs),
      ),
    );
    const more = await this.call('Synchronize', concat(bytes(1, pod({ name: 'a' })), varintField(3, 1)));
    if (fields(more.payload).get(2) !== 1) throw new Error('the plugin does not take lists in parts');
    await this.call('Synchronize', bytes(1, pod({ name: 'b' })));
    const answer = fields(configured.payload);
    const policy = answer.get(3);
    return {
      events: Number(answer.get(2)),
      failurePolicy:
        policy instanceof Uint8Array ? [...fields(policy)].map(([n, value]) => n * Number(value)) : [],
    };
  }

  /** Calls the plugin that connected last. */
  async call(
    method: string,
    request: Uint8Array,
  ): Promise<{ code: number; message: string; payload: Uint8Array }> {
    this.stream += 2;
    const stream = this.stream;
    const answered = new Promise<Uint8Array>((resolve) => this.answers.set(stream, resolve));
    this.send(
      1,
      stream,
      1,
      concat(text(1, 'nri.pkg.api.v1alpha1.Plugin'), text(2, method), bytes(3, request)),
    );
    const response = fields(await answered);
    const status = response.get(1);
    const parts = status instanceof Uint8Array ? fields(status) : new Map<number, number | Uint8Array>();
    const message = parts.get(2);
    const payload = response.get(2);
    return {
      code: Number(parts.get(1) ?? 0),
      message: message instanceof Uint8Array ? Buffer.from(message).toString() : '',
      payload: payload instanceof Uint8Array ? payload : new Uint8Array(),
    };
  }

  /** As it is. */
  sendRaw(data: Uint8Array): void {
    this.connections.at(-1)?.write(data);
  }

  disconnect(): void {
    this.registrations.length = 0;
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.disconnect();
    this.server.close();
    await once(this.server, 'close');
  }

  private accept(socket: Socket): void {
    this.connections.push(socket);
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket)).on('error', () => undefined);
    let data: Buffer = Buffer.alloc(0);
    const streams = new Map<number, Buffer>();
    socket.on('data', (chunk: Buffer) => {
      data = Buffer.concat([data, chunk]);
      while (data.length >= 8 && data.length >= 8 + data.readUInt32BE(4)) {
        const [connection, length] = [data.readUInt32BE(0), data.readUInt32BE(4)];
        if (length > 4_096) throw new Error('a frame that the runtime has no buffer for');
        streams.set(
          connection,
          this.messages(
            connection,
            Buffer.concat([streams.get(connection) ?? Buffer.alloc(0), data.subarray(8, 8 + length)]),
          ),
        );
        data = data.subarray(8 + length);
      }
    });
  }

  /** Handles what is complete, and returns the rest. */
  private messages(connection: number, data: Buffer): Buffer {
    let rest = data;
    while (rest.length >= 10 && rest.length >= 10 + rest.readUInt32BE(0)) {
      const [length, stream, type] = [rest.readUInt32BE(0), rest.readUInt32BE(4), rest[8]];
      const payload = rest.subarray(10, 10 + length);
      if (connection === 1 && type === 2) this.answers.get(stream)?.(payload);
      if (connection === 2 && type === 1) this.registered(stream, payload);
      rest = rest.subarray(10 + length);
    }
    return rest;
  }

  private registered(stream: number, payload: Uint8Array): void {
    const request = fields(payload);
    const named = `${asText(request.get(1))}/${asText(request.get(2))}`;
    if (named !== 'nri.pkg.api.v1alpha1.Runtime/RegisterPlugin') throw new Error(`call of ${named}`);
    const plugin = request.get(3);
    const registration =
      plugin instanceof Uint8Array ? fields(plugin) : new Map<number, number | Uint8Array>();
    this.send(2, stream, 2, new Uint8Array());
    this.registrations.push({ name: asText(registration.get(1)), index: asText(registration.get(2)) });
    this.wake();
  }

  private send(connection: number, stream: number, type: number, payload: Uint8Array): void {
    const data = Buffer.alloc(18 + payload.length);
    data.writeUInt32BE(connection, 0);
    data.writeUInt32BE(10 + payload.length, 4);
    data.writeUInt32BE(payload.length, 8);
    data.writeUInt32BE(stream, 12);
    data.writeUInt8(type, 16);
    data.set(payload, 18);
    this.sendRaw(data);
  }
}

/** A PodSandbox. */
export function pod(o: {
  name: string;
  namespace?: string;
  netns?: string;
  ips?: readonly string[];
}): Uint8Array {
  const namespaces = o.netns === undefined ? [] : [bytes(5, concat(text(1, 'network'), text(2, o.netns)))];
  return concat(
    text(1, 'sandbox'),
    text(2, o.name),
    text(3, `uid-${o.name}`),
    text(4, o.namespace ?? 'shop'),
    bytes(8, concat(bytes(5, text(1, 'ipc')), ...namespaces)),
    ...(o.ips ?? []).map((ip) => text(10, ip)),
  );
}

export function bytes(field: number, value: Uint8Array): Uint8Array {
  return concat(varint((field << 3) | 2), varint(value.length), value);
}

export function varintField(field: number, value: number): Uint8Array {
  return concat(varint(field << 3), varint(value));
}

function text(field: number, value: string): Uint8Array {
  return bytes(field, Buffer.from(value));
}

function varint(value: number): Uint8Array {
  const out: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) out.push((rest & 0x7f) | 0x80);
  return Uint8Array.from([...out, rest]);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

function asText(value: number | Uint8Array | undefined): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString() : '';
}

/** The last value of each field: varints and bytes are all that NRI's answers have. */
function fields(message: Uint8Array): Map<number, number | Uint8Array> {
  const found = new Map<number, number | Uint8Array>();
  let at = 0;
  const read = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = read();
    const value = read();
    if ((tag & 7) === 0) found.set(tag >> 3, value);
    else found.set(tag >> 3, message.subarray(at, (at += value)));
  }
  return found;
}
