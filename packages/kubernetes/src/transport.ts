import http from 'node:http';
import https from 'node:https';
import { WeftError, systemClock, systemErrorCode, type Clock } from '@weft/telemetry';
import type { ClusterConnection } from './connection.ts';
import { KubernetesError, type ApiStatus } from './errors.ts';

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface ApiRequest {
  readonly method: HttpMethod;
  /** Absolute path without query. */
  readonly path: string;
  readonly query?: Query;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal | undefined;
  /** The answer streams until its end: no limit of silence. */
  readonly streaming?: boolean;
}

/** An answer larger than this is refused; a page of 500 objects stays far below. */
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;
const MAX_ERROR_BODY_BYTES = 64 * 1024;
/** Silence after which a request that isn't a stream counts as failed. */
const REQUEST_SILENCE_MS = 60_000;
const TCP_KEEPALIVE_MS = 30_000;
/** 429 and 503 with Retry-After are repeated this often, waiting at most that long each. */
const MAX_THROTTLE_RETRIES = 5;
const MAX_THROTTLE_WAIT_MS = 10_000;

/** HTTP/1.1 to one API server over kept-alive connections, with the credentials of a `ClusterConnection`. */
export class ApiTransport {
  private readonly connection: ClusterConnection;
  private readonly base: URL;
  private readonly agentOptions: https.AgentOptions;
  private readonly agent: http.Agent;
  private readonly clock: Clock;

  constructor(connection: ClusterConnection, clock: Clock = systemClock) {
    this.connection = connection;
    this.base = new URL(connection.server);
    this.clock = clock;
    const { ca, cert, key, serverName, skipVerify } = connection.tls;
    this.agentOptions = {
      minVersion: 'TLSv1.2',
      rejectUnauthorized: skipVerify !== true,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(serverName === undefined ? {} : { servername: serverName }),
    };
    this.agent = this.createAgent(true);
  }

  /** The whole body of a successful answer. */
  async send(request: ApiRequest): Promise<Buffer> {
    const response = await this.open(request);
    try {
      return await readBody(response, MAX_RESPONSE_BYTES);
    } catch (error) {
      throw WeftError.is(error) ? error : this.unreachable(request, error);
    }
  }

  /**
   * The answer once its status is known to be a success; the caller reads or destroys it.
   * @throws KubernetesError for other statuses, WEFT1010 when there is no answer, AbortError
   */
  async open(request: ApiRequest): Promise<http.IncomingMessage> {
    for (let attempt = 0; ; attempt++) {
      const response = await this.openReused(request);
      const status = response.statusCode ?? 0;
      if (status >= 200 && status < 300) return response;
      const body = parseStatus(await readBody(response, MAX_ERROR_BODY_BYTES).catch(() => Buffer.alloc(0)));
      const retryAfterMs = Number(response.headers['retry-after'] ?? Number.NaN) * 1_000;
      const throttled = status === 429 || status === 503;
      if (!throttled || Number.isNaN(retryAfterMs) || attempt >= MAX_THROTTLE_RETRIES) {
        throw new KubernetesError(`${request.method} ${request.path}`, status, body);
      }
      await this.clock.sleep(Math.min(retryAfterMs, MAX_THROTTLE_WAIT_MS), request.signal);
      request.signal?.throwIfAborted();
    }
  }

  /** Closes idle connections; open streams end by their own signals. */
  close(): void {
    this.agent.destroy();
  }

  // A kept-alive connection may have been closed by the server just as it was picked. Nothing was processed then,
  // but that can't be told apart from a crash in mid-request, so a POST isn't repeated.
  private async openReused(request: ApiRequest): Promise<http.IncomingMessage> {
    try {
      return await this.openOnce(request);
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error;
      return await this.openOnce(request, true);
    }
  }

  private openOnce(request: ApiRequest, fresh = false): Promise<http.IncomingMessage> {
    const { signal } = request;
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    const headers: http.OutgoingHttpHeaders = { accept: request.accept ?? 'application/json' };
    if (body !== undefined) {
      headers['content-type'] = request.contentType ?? 'application/json';
      headers['content-length'] = body.length;
    }
    const token = this.connection.token?.();
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    const { protocol, hostname, port, pathname } = this.base;
    return new Promise((resolve, reject) => {
      const outgoing = (protocol === 'http:' ? http : https).request({
        method: request.method,
        hostname: hostname.replace(/^\[|\]$/g, ''),
        port: port === '' ? (protocol === 'http:' ? 80 : 443) : Number(port),
        path: `${pathname.replace(/\/$/, '')}${request.path}${formatQuery(request.query)}`,
        // Outside the pool: its other connections may be as stale as the first one was.
        agent: fresh ? this.createAgent(false) : this.agent,
        headers,
        ...(signal === undefined ? {} : { signal }),
      });
      outgoing.on('socket', (socket) => socket.setKeepAlive(true, TCP_KEEPALIVE_MS));
      if (request.streaming !== true) {
        outgoing.setTimeout(REQUEST_SILENCE_MS, () => {
          outgoing.destroy(new Error(`no answer within ${REQUEST_SILENCE_MS / 1_000} s`));
        });
      }
      outgoing.on('error', (error) => {
        if (signal?.aborted === true) reject(error);
        else if (!fresh && outgoing.reusedSocket && request.method !== 'POST' && isReset(error)) {
          reject(new StaleConnection());
        } else reject(this.unreachable(request, error));
      });
      outgoing.on('response', resolve);
      outgoing.end(body);
    });
  }

  private createAgent(keepAlive: boolean): http.Agent {
    return this.base.protocol === 'http:'
      ? new http.Agent({ keepAlive })
      : new https.Agent({ ...this.agentOptions, keepAlive });
  }

  private unreachable(request: ApiRequest, cause: unknown): WeftError {
    return new WeftError('WEFT1010', `${request.method} ${this.connection.server}${request.path}`, { cause });
  }
}

class StaleConnection extends Error {}

function isReset(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ECONNRESET' || code === 'EPIPE';
}

export function formatQuery(query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}

async function readBody(response: http.IncomingMessage, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    const bytes = chunk as Buffer; // node:http yields Buffers unless setEncoding was called
    size += bytes.length;
    if (size > limit) throw new WeftError('WEFT1015', `the answer is larger than ${limit} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks, size);
}

function parseStatus(body: Buffer): ApiStatus {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    // The API server's own Status; every field is optional and read as such.
    if (typeof value === 'object' && value !== null) return value as ApiStatus;
  } catch {
    // A proxy's HTML page, or plain text such as "404 page not found".
  }
  const text = body.toString('utf8').trim();
  return text === '' ? {} : { message: text.slice(0, 500) };
}
