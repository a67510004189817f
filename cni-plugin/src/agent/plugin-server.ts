import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import path from 'node:path';
import { WeftError, describeError, type Logger } from '@weft/telemetry';

/** What the plugin posts to `/cmdadd`, spelled as Istio's plugin spells it. */
export interface AddRequest {
  readonly netns: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly addresses: readonly string[];
}

export interface PluginServerOptions {
  readonly logger: Logger;
  readonly onAnswer?: (status: number) => void;
  /** Why a pod was refused. */
  readonly onError?: (error: unknown) => void;
}

const MAX_BODY_BYTES = 64 * 1024;
const REQUEST_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 256;

/** HTTP on a Unix socket that only root can reach. Any answer but 200 keeps the pod from starting. */
export class PluginServer {
  private readonly server: Server;
  private readonly socketPath: string;

  private constructor(socketPath: string, server: Server) {
    this.socketPath = socketPath;
    this.server = server;
  }

  static async listen(
    socketPath: string,
    onAdd: (request: AddRequest) => Promise<void>,
    o: PluginServerOptions,
  ): Promise<PluginServer> {
    mkdirSync(path.dirname(socketPath), { recursive: true });
    rmSync(socketPath, { force: true });
    const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      void answer(request, response, onAdd, o);
    });
    server.maxConnections = MAX_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(socketPath, resolve);
    });
    chmodSync(socketPath, 0o600);
    return new PluginServer(socketPath, server);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
    rmSync(this.socketPath, { force: true });
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  onAdd: (request: AddRequest) => Promise<void>,
  o: PluginServerOptions,
): Promise<void> {
  const reply = (status: number, text: string): void => {
    o.onAnswer?.(status);
    response.writeHead(status, { 'content-type': 'text/plain' });
    response.end(text);
  };
  if (request.method !== 'POST' || request.url !== '/cmdadd') return reply(404, 'not found\n');
  try {
    const add = parseAddRequest(await readBody(request));
    await onAdd(add);
    reply(200, '');
  } catch (error) {
    const refused = WeftError.is(error) && error.code === 'WEFT1706';
    o.onError?.(error);
    o.logger.error('pod refused', { error: describeError(error) });
    reply(refused ? 400 : 500, `${describeError(error)}\n`);
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes = chunk as Buffer; // node:http yields Buffers unless setEncoding was called
    size += bytes.length;
    if (size > MAX_BODY_BYTES) throw new WeftError('WEFT1706', `request body over ${MAX_BODY_BYTES} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function parseAddRequest(text: string): AddRequest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new WeftError('WEFT1706', 'request body is no JSON', { cause: error });
  }
  const field = (name: string): unknown =>
    typeof value === 'object' && value !== null && Object.hasOwn(value, name)
      ? Reflect.get(value, name)
      : undefined;
  const textOf = (name: string): string => {
    const found = field(name);
    if (typeof found !== 'string' || found === '')
      throw new WeftError('WEFT1706', `${name}: expected a string`);
    return found;
  };
  const addresses = field('IPs');
  return {
    netns: textOf('Netns'),
    podName: textOf('PodName'),
    podNamespace: textOf('PodNamespace'),
    addresses: Array.isArray(addresses) ? addresses.map(addressOf) : [],
  };
}

function addressOf(entry: unknown, index: number): string {
  const address: unknown =
    typeof entry === 'object' && entry !== null ? Reflect.get(entry, 'Address') : undefined;
  const ip: unknown =
    typeof address === 'object' && address !== null ? Reflect.get(address, 'IP') : undefined;
  if (typeof ip !== 'string') throw new WeftError('WEFT1706', `IPs[${index}].Address.IP: expected a string`);
  return ip;
}
