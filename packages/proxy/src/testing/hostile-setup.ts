import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { parseBootstrap } from '../config/bootstrap.ts';
import { Proxy } from '../proxy.ts';
import { listener, routeTable, staticCluster } from './resources.ts';

const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
/** Nothing can listen there. */
const CLOSED_PORT = 1;
/** In which a smuggled request would have reached the upstream. */
const QUIET_MS = 40;
const GIVE_UP_MS = 8_000;
const LARGE_BYTES = 64 * 1024 * 1024;
const MEDIUM_BYTES = 2 * 1024 * 1024;

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
  body: string;
}

/** GET is allowed but below /admin, everything else is denied; /jwt wants a token whose keys can't be had. */
function bootstrap(upstreamPort: number): object {
  const manager = {
    '@type': type('network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'hostile',
    normalize_path: true,
    merge_slashes: true,
    path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD',
    request_headers_timeout: '0.3s',
    stream_idle_timeout: '0.5s',
    route_config: routeTable('hostile', [{ match: { prefix: '/' }, route: { cluster: 'app' } }]),
    http_filters: [
      {
        name: 'jwt',
        typed_config: {
          '@type': type('http.jwt_authn.v3.JwtAuthentication'),
          providers: {
            p: {
              issuer: 'me',
              remote_jwks: { http_uri: { uri: 'http://keys.test/', cluster: 'jwks', timeout: '1s' } },
            },
          },
          rules: [{ match: { prefix: '/jwt' }, requires: { provider_name: 'p' } }],
        },
      },
      {
        name: 'rbac',
        typed_config: {
          '@type': type('http.rbac.v3.RBAC'),
          rules: {
            action: 'ALLOW',
            policies: {
              read: {
                permissions: [
                  {
                    and_rules: {
                      rules: [
                        { header: { name: ':method', string_match: { exact: 'GET' } } },
                        { not_rule: { url_path: { path: { prefix: '/admin' } } } },
                      ],
                    },
                  },
                ],
                principals: [{ any: true }],
              },
            },
          },
        },
      },
      { name: 'router', typed_config: { '@type': type('http.router.v3.Router') } },
    ],
  };
  const chain = { filters: [{ name: 'http', typed_config: manager }] };
  return {
    static_resources: {
      clusters: [staticCluster('app', upstreamPort), staticCluster('jwks', CLOSED_PORT)],
      listeners: [listener('http', [chain])],
    },
  };
}

/** A proxy with that policy, and an upstream that writes down what reaches it. */
export class HostileSetup {
  readonly seen: SeenRequest[] = [];
  readonly proxy: Proxy;
  readonly port: number;
  private readonly clients = new Set<Socket>();
  private readonly stopUpstream: () => void;

  private constructor(proxy: Proxy, seen: SeenRequest[], stopUpstream: () => void) {
    this.proxy = proxy;
    this.seen = seen;
    this.stopUpstream = stopUpstream;
    const [address = ''] = proxy.listeners.status()[0]?.addresses ?? [];
    this.port = Number(address.slice(address.lastIndexOf(':') + 1));
  }

  static async start(): Promise<HostileSetup> {
    const seen: SeenRequest[] = [];
    const bodies: Readonly<Record<string, Buffer>> = {
      '/large': Buffer.alloc(LARGE_BYTES),
      '/medium': Buffer.alloc(MEDIUM_BYTES),
    };
    const upstream = createServer((request, response) => {
      const { method = '', url = '', rawHeaders } = request;
      const entry: SeenRequest = { method, path: url, headers: rawHeaders, body: '' };
      seen.push(entry);
      request.on('data', (part: Buffer) => {
        entry.body += part.toString('latin1');
      });
      request.on('end', () => response.end(bodies[url] ?? 'served'));
    });
    await new Promise<void>((resolve) => {
      upstream.listen(0, '127.0.0.1', resolve);
    });
    const { port } = upstream.address() as AddressInfo; // a TCP server's address is always this
    const proxy = new Proxy({ bootstrap: parseBootstrap(bootstrap(port)) });
    await proxy.start();
    return new HostileSetup(proxy, seen, () => {
      upstream.closeAllConnections();
      upstream.close();
    });
  }

  async stop(): Promise<void> {
    this.disconnect();
    await this.proxy.close();
    this.stopUpstream();
  }

  disconnect(): void {
    for (const client of this.clients) client.destroy();
    this.clients.clear();
  }

  /** How many connections and requests of clients the proxy believes to have. */
  get active(): { connections: number; requests: number } {
    return {
      connections: this.proxy.stats.gauge('http.hostile.downstream_cx_active').value,
      requests: this.proxy.stats.gauge('http.hostile.downstream_rq_active').value,
    };
  }

  open(): RawClient {
    const socket = connect({ host: '127.0.0.1', port: this.port, allowHalfOpen: true });
    this.clients.add(socket);
    return new RawClient(socket);
  }

  /** Sends bytes on a connection of their own; everything that came back. */
  async send(bytes: string | Buffer): Promise<string> {
    const client = this.open();
    client.write(bytes);
    await client.answered();
    client.socket.destroy();
    return client.received;
  }

  /**
   * Until others are served again. The process is client, proxy and upstream in one: while it works off a thousand
   * connections, a request may take longer than the idle time that this configuration allows.
   */
  async servesAgain(): Promise<void> {
    const deadline = Date.now() + GIVE_UP_MS;
    for (;;) {
      const [status] = await this.statuses('GET /fine HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      if (status === 200) return;
      if (status !== 504 || Date.now() > deadline) throw new Error(`others get ${status}`);
    }
  }

  async statuses(bytes: string | Buffer): Promise<number[]> {
    return statusesOf(await this.send(bytes));
  }
}

export function statusesOf(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
}

/** Bytes to and from a proxy, as they are. */
export class RawClient {
  readonly socket: Socket;
  private readonly chunks: Buffer[] = [];
  bytes = 0;
  closed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length;
      this.chunks.push(chunk);
    });
    socket.on('end', () => {
      this.closed = true;
      socket.end();
    });
    socket.on('close', () => {
      this.closed = true;
    });
  }

  get received(): string {
    return this.receivedBytes.toString('latin1');
  }

  get receivedBytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  write(bytes: string | Buffer): void {
    if (this.socket.writable)
      this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Something came, or the end, and then nothing more. */
  async answered(): Promise<void> {
    await until(() => this.closed || this.bytes > 0);
    for (let before = -1; before !== this.bytes && !this.closed; ) {
      before = this.bytes;
      await pause(QUIET_MS);
    }
    if (this.closed) await pause(QUIET_MS);
  }
}

export async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

export async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + GIVE_UP_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${condition.toString()}`);
    await pause(5);
  }
}
