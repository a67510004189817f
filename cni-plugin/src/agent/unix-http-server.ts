import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import path from 'node:path';
import { readBody, WeftError } from '@weft/telemetry';

const MAX_BODY_BYTES = 64 * 1024;
const REQUEST_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 256;

/** HTTP on a Unix socket that only root can reach: how plugins on the node talk to the agent. */
export class UnixHttpServer {
  private readonly server: Server;
  private readonly socketPath: string;

  private constructor(socketPath: string, server: Server) {
    this.socketPath = socketPath;
    this.server = server;
  }

  /** A socket that an earlier process left is replaced. */
  static async listen(
    socketPath: string,
    answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  ): Promise<UnixHttpServer> {
    mkdirSync(path.dirname(socketPath), { recursive: true });
    rmSync(socketPath, { force: true });
    const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      void answer(request, response);
    });
    server.maxConnections = MAX_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(socketPath, resolve);
    });
    chmodSync(socketPath, 0o600);
    return new UnixHttpServer(socketPath, server);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
    rmSync(this.socketPath, { force: true });
  }
}

/** Throws WEFT1706 for one that is too large. */
export async function readSmallBody(request: IncomingMessage): Promise<string> {
  const body = await readBody(request, MAX_BODY_BYTES);
  if (body === undefined) throw new WeftError('WEFT1706', `request body over ${MAX_BODY_BYTES} bytes`);
  return body;
}
